"""A chat's pictures: shown in the page again, and to the model while the chat goes on."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goni_core.errors import NotFound
from goni_gateway import callers, gateway, pictures
from goni_gateway.chats import Entry
from goni_gateway.gateway import Gateway
from goni_gateway.people import Person
from goni_gateway.pictures import Picture
from goni_gateway.prompt import Message


async def read_picture(request: Request) -> Response:
    person = await callers.person(request)
    chat, number = request.path_params["chat"], request.path_params["picture"]
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise NotFound("there is no such picture")
    found = await gateway.of(request).database.do(pictures.read, person, chat, int(number))
    return Response(found.data, media_type=f"image/{found.kind}")


async def earlier(
    gate: Gateway, person: Person, chat_id: str, entries: Sequence[Entry], model: str, new: int
) -> tuple[list[Message], tuple[str, ...]]:
    """What the chat holds, for ``model``, which is asked with ``new`` more pictures; and what there
    is to say of pictures that it doesn't get to see.
    """
    ids = [picture for entry in entries for picture in entry.pictures]
    kept: dict[int, Picture] = {}
    notes: tuple[str, ...] = ()
    if ids:
        reads = (await gate.models.found(model)).get("goni", {}).get("pictures", False)
        latest = ids[-(pictures.SHOWN - new) :] if reads else []
        kept = await gate.database.do(pictures.read_all, person, chat_id, latest)
        if len(latest) < len(ids):
            notes = (pictures.OLD if reads else pictures.LEFT_OUT,)
    return [
        pictures.message(entry.content, [kept[one] for one in entry.pictures if one in kept])
        if entry.role == "user"
        else {"role": entry.role, "content": entry.content}
        for entry in entries
    ], notes


ROUTES = [
    Route("/api/chats/{chat}/pictures/{picture}", read_picture, methods=["GET"]),
]
