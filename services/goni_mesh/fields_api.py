"""The roster's fields on ``mesh.sock``: all of them, and an edit of one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.contract import Field, plain
from goni_core.errors import BadInput
from goni_mesh import entries, sync
from goni_mesh.entries import Entry, Shown
from goni_mesh.household import Household

VALUE_LIMIT = entries.VALUE_LIMIT + 1000


def routes(household: Household) -> list[Route]:
    """Reading and writing the fields of ``household``."""

    async def listing(request: Request) -> Response:
        now = household.joined()
        said = {"household": now.household, "digest": sync.digest(now)}
        if request.query_params.get("unlike") == said["digest"]:
            return JSONResponse({**said, "fields": None, "aside": None})
        shown = [plain(_field(name, one)) for name, one in sorted(now.shown.items())]
        aside = [plain(_aside(one)) for one in now.aside]
        return JSONResponse({**said, "fields": shown, "aside": aside})

    async def write(request: Request) -> Response:
        body = await web.read_json(request, limit=VALUE_LIMIT)
        fields.only(body, {"value"})
        if "value" not in body:
            raise BadInput("value is missing", code="missing_field")
        household.edit(request.path_params["name"], body["value"])
        return JSONResponse({})

    return [
        Route("/fields", listing),
        Route("/fields/{name:path}", write, methods=["PUT"]),
    ]


def _field(name: str, shown: Shown) -> Field:
    winner = shown.winner
    return Field(name, winner.value, winner.author, tuple(one.value for one in shown.beside))


def _aside(entry: Entry) -> Field:
    return Field(entry.key, entry.value, entry.author)
