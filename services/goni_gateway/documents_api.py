"""Documents under ``/api``: folders, uploads, downloads, plain search, and how far reading is.

``space`` says whose: "private" (the person's own, the default) or "shared" (the household's).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import contract, fields, web
from goni_core.contract import Source
from goni_core.errors import BadInput, GoniError, NotAllowed, NotFound
from goni_core.http import ANSWER_TIMEOUT
from goni_gateway import answer, bodies, callers, gateway, passage, people
from goni_gateway.people import Person

SPACES = ("private", "shared")
LONGEST_PATH = 2000
LONGEST_QUERY = 2000
MOST_FOUND = 30
FILTERS = ("space", "folder", "types", "since", "until")
"""As rag.sock takes them, and checks them."""


async def list_documents(request: Request) -> Response:
    """A thousand of them by path; ``after`` the last one so far, ``state`` only those."""
    person = await callers.person(request)
    asked = dict(request.query_params)
    params = {name: asked[name] for name in ("after", "state", "folder") if asked.get(name)}
    return await _relayed(request, "/documents", {"owner": _owner(asked, person), **params})


async def add_document(request: Request) -> Response:
    """The body is the document; the folders in its path are made."""
    person = await callers.person(request)
    params = {"owner": _owner(dict(request.query_params), person)}
    path, gate = request.path_params["path"], gateway.of(request)
    place = f"/documents/{quote(path, safe='/')}"
    removed = NotAllowed("you have been removed from this node", code="removed")
    try:
        said = await passage.upload(request, gate.rag, place, params, contract.DOCUMENT_LIMIT)
    except GoniError as error:
        raise removed if await gate.database.do(people.locked, person.id) else error from None
    # Removing a person locks them out first and deletes their documents then: what came in too late
    # for that goes here.
    if await gate.database.do(people.locked, person.id):
        with contextlib.suppress(NotFound):
            await gate.rag.call("DELETE", "/documents", params={**params, "path": path})
        raise removed
    return said


async def remove_document(request: Request) -> Response:
    """A document, or a folder with all that is in it."""
    person = await callers.person(request)
    asked = {**request.query_params, **request.path_params}
    params = {"owner": _owner(asked, person), "path": _path(asked, "path")}
    await gateway.of(request).rag.call("DELETE", "/documents", params=params)
    return JSONResponse({"deleted": True})


async def remove_path(request: Request) -> Response:
    """The same with ``path`` as a parameter, which may hold whatever a name may."""
    return await remove_document(request)


async def show_folder(request: Request) -> Response:
    """What is in a folder, with what is known of each document."""
    person = await callers.person(request)
    asked = dict(request.query_params)
    params = {"owner": _owner(asked, person), "path": asked.get("path", "")}
    return await _relayed(request, "/folder", params)


async def make_folder(request: Request) -> Response:
    person = await callers.person(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"space", "path"})
    wanted = {"owner": _owner(body, person), "path": _path(body, "path")}
    made = await gateway.of(request).rag.call("POST", "/folder", json=wanted)
    return JSONResponse(made, status_code=201)


async def move_document(request: Request) -> Response:
    """Give a document or folder another name, folder or space; nothing is read again."""
    person = await callers.person(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"space", "path", "to_space", "to"})
    to_space = {"space": body.get("to_space", body.get("space", SPACES[0]))}
    wanted = {
        "owner": _owner(body, person),
        "path": _path(body, "path"),
        "to_owner": _owner(to_space, person),
        "to": _path(body, "to"),
    }
    rag = gateway.of(request).rag
    return JSONResponse(await rag.call("POST", "/move", json=wanted, timeout=ANSWER_TIMEOUT))


async def download_document(request: Request) -> Response:
    person = await callers.person(request)
    asked = dict(request.query_params)
    params = {"owner": _owner(asked, person), "path": _path(asked, "path")}
    name = params["path"].rpartition("/")[2]
    return await passage.download(request, gateway.of(request).rag, "/files", params, name)


async def show_progress(request: Request) -> Response:
    person = await callers.person(request)
    return await _relayed(request, "/progress", {"owner": person.id})


async def search_documents(request: Request) -> Response:
    """Passages of the person's and the shared documents, without any chat model, and whether they
    seem to answer.
    """
    person = await callers.person(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"query", "k", *FILTERS})
    filters = {name: body[name] for name in FILTERS if name in body}
    query = fields.text(body, "query", longest=LONGEST_QUERY)
    most = fields.integer(body, "k", least=1, most=MOST_FOUND, default=10)
    looked = await answer.search(gateway.of(request).rag, person, query, most, filters)
    return JSONResponse(
        {**contract.plain(looked), "sources": [_shown(one) for one in looked.sources]}
    )


def _shown(source: Source) -> dict[str, object]:
    """A source as its person sees it, who knows spaces, not owners."""
    also = [{"space": _space(one.owner), **contract.plain(one)} for one in source.also]
    return {"space": _space(source.owner), **contract.plain(source), "also": also}


def _space(owner: str) -> str:
    return SPACES[owner == SPACES[1]]


async def _relayed(request: Request, path: str, params: Mapping[str, str]) -> Response:
    return JSONResponse(await gateway.of(request).rag.call("GET", path, params=params))


def _owner(asked: fields.Object, person: Person) -> str:
    """Whose documents ``space`` means."""
    space = fields.text(asked, "space", longest=20, default=SPACES[0])
    if space not in SPACES:
        raise BadInput("space must be private or shared", code="bad_value")
    return person.id if space == SPACES[0] else space


def _path(asked: fields.Object, name: str) -> str:
    return fields.text(asked, name, longest=LONGEST_PATH)


ROUTES = [
    Route("/api/documents", list_documents, methods=["GET"]),
    Route("/api/documents", remove_path, methods=["DELETE"]),
    Route("/api/documents/{path:path}", add_document, methods=["PUT"]),
    Route("/api/documents/{path:path}", remove_document, methods=["DELETE"]),
    Route("/api/folder", show_folder, methods=["GET"]),
    Route("/api/folder", make_folder, methods=["POST"]),
    Route("/api/move", move_document, methods=["POST"]),
    Route("/api/files", download_document, methods=["GET"]),
    Route("/api/progress", show_progress, methods=["GET"]),
    Route("/api/search", search_documents, methods=["POST"]),
]
