"""The routes of ``rag.sock`` for documents, files and folders: parse, ask the library, answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from goni_core import fields, web
from goni_core.contract import Entry, Progress, plain
from goni_core.errors import BadInput
from goni_rag import browse, filing, folders, ledger, store
from goni_rag.folders import SHARED, Key
from goni_rag.library import Library
from goni_rag.upkeep import UNSEEN

PAGE = 1000
"""Documents that a list has at most."""
MOST_READING = 10
_ONE_RANGE = re.compile(r"bytes=\d{0,18}-\d{0,18}")
"""Anything else is ignored, as RFC 9110 allows: many ranges cost more than they are worth."""


def routes(library: Library) -> Sequence[BaseRoute]:
    """All of them, for ``library``."""
    return [*_documents(library), *_folders(library)]


def _documents(library: Library) -> Sequence[BaseRoute]:
    async def put(request: Request) -> Response:
        announced = web.content_length(request.headers)
        if _yes(request, "wait", default=True):
            document = await library.add(_new(request), request.stream(), announced)
            return JSONResponse(plain(document), status_code=201)
        await library.keep(_new(request, dots=True), request.stream(), announced)
        return JSONResponse({}, status_code=201)

    async def listing(request: Request) -> Response:
        asked, key = dict(request.query_params), (_owner(request), _folder(request, "folder"))
        after = fields.text(asked, "after", longest=folders.LONGEST_PATH, default="")
        state = fields.text(asked, "state", longest=20, default="")
        found = await library.connections.read(ledger.listed, key, after, PAGE + 1, state)
        documents = [plain(document) for document in found[:PAGE]]
        return JSONResponse({"documents": documents, "more": len(found) > PAGE})

    async def delete(request: Request) -> Response:
        await filing.remove(library, await _spelled(library, request))
        return JSONResponse({})

    async def read(request: Request) -> Response:
        key = await _spelled(library, request)
        entry = await asyncio.to_thread(browse.found, library.root, key)
        if entry.kind == "folder":
            raise BadInput("that is a folder")
        if not _ONE_RANGE.fullmatch(request.headers.get("range", "")):
            headers = [each for each in request.scope["headers"] if each[0].lower() != b"range"]
            request.scope["headers"] = headers
        return FileResponse(
            folders.place(library.root, *key),
            media_type="application/octet-stream",
            headers={"etag": f'"{entry.tag}"'},
        )

    return [
        Route("/documents", listing),
        Route("/documents/{path:path}", put, methods=["PUT"]),
        Route("/documents/{path:path}", delete, methods=["DELETE"]),
        Route("/documents", delete, methods=["DELETE"]),
        Route("/files", read),
    ]


def _folders(library: Library) -> Sequence[BaseRoute]:
    async def browsed(request: Request) -> Response:
        key = (_owner(request), _folder(request, "path"))
        if not key[1]:
            await asyncio.to_thread(folders.folder, library.root, key[0])
        key = await asyncio.to_thread(folders.spelled, library.root, key)
        entry = await asyncio.to_thread(browse.found, library.root, key)
        [entry] = await library.connections.read(browse.described, key[0], [entry])
        entries: list[Entry] = []
        more = False
        if entry.kind == "folder":
            hidden = _yes(request, "hidden")
            entries, more = await asyncio.to_thread(browse.inside, library.root, key, hidden)
            entries = await library.connections.read(browse.described, key[0], entries)
        listed = [plain(each) for each in entries]
        return JSONResponse({"entry": plain(entry), "entries": listed, "more": more})

    async def make_folder(request: Request) -> Response:
        asked = await web.read_json(request)
        fields.only(asked, ("owner", "path"))
        made = await filing.make_folder(library, _target(asked, "owner", "path"))
        return JSONResponse(plain(made), status_code=201)

    async def transfer(request: Request) -> Response:
        asked = await web.read_json(request)
        fields.only(asked, ("owner", "path", "to_owner", "to", "replace"))
        key = (folders.owner_id(fields.text(asked, "owner")), _path(asked, "path"))
        key = await asyncio.to_thread(folders.spelled, library.root, key)
        work = filing.copy if request.url.path == "/copy" else filing.move
        replace = fields.flag(asked, "replace")
        entry = await work(library, key, _target(asked, "to_owner", "to"), replace=replace)
        return JSONResponse(plain(entry))

    async def delete_owner(request: Request) -> Response:
        count = await filing.remove_owner(library, request.path_params["owner"])
        return JSONResponse({"documents": count})

    async def progress(request: Request) -> Response:
        return JSONResponse(plain(await progress_of(library, _owner(request))))

    return [
        Route("/folder", browsed),
        Route("/folder", make_folder, methods=["POST"]),
        Route("/move", transfer, methods=["POST"]),
        Route("/copy", transfer, methods=["POST"]),
        Route("/owners/{owner}", delete_owner, methods=["DELETE"]),
        Route("/progress", progress),
    ]


async def progress_of(library: Library, owner: str) -> Progress:
    """How far reading ``owner``'s and the shared documents is; others' only as a number."""
    mine = (owner, SHARED)
    waiting, unreadable, pending = await library.connections.read(ledger.waiting, mine)
    totals = await library.connections.read(store.totals)
    reading = [name for whose, name in library.pace.current() if whose in mine]
    return Progress(
        *(waiting, totals.waiting, pending, tuple(reading[:MOST_READING])),
        *(round(library.pace.per_minute(), 1), library.pace.seconds_for(totals.waiting)),
        *(unreadable, library.pace.trouble or (UNSEEN if library.pace.unseen else "")),
    )


def _owner(request: Request) -> str:
    return folders.owner_id(fields.text(dict(request.query_params), "owner"))


async def _spelled(library: Library, request: Request) -> Key:
    # A parameter, because Starlette finds no route for a path with a newline in it.
    asked = {**request.query_params, **request.path_params}
    key = (_owner(request), _path(asked, "path"))
    return await asyncio.to_thread(folders.spelled, library.root, key)


def _new(request: Request, *, dots: bool = False) -> Key:
    return _owner(request), folders.fresh(request.path_params["path"], dots=dots)


def _folder(request: Request, name: str) -> str:
    """The path in a parameter; "" is the owner's whole folder."""
    path = request.query_params.get(name, "")
    return folders.existing(path) if path else ""


def _path(asked: fields.Object, name: str) -> str:
    return folders.existing(fields.text(asked, name, longest=folders.LONGEST_PATH))


def _target(asked: fields.Object, owner: str, name: str) -> Key:
    path = fields.text(asked, name, longest=folders.LONGEST_PATH)
    return folders.owner_id(fields.text(asked, owner)), folders.fresh(path, dots=True)


def _yes(request: Request, name: str, *, default: bool = False) -> bool:
    value = request.query_params.get(name, "yes" if default else "no")
    if value not in ("yes", "no"):
        raise BadInput(f"{name} must be yes or no", code="bad_value")
    return value == "yes"
