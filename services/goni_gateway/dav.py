"""WebDAV below ``/dav`` (RFC 4918, classes 1 and 2), so that Finder, Explorer and phones can mount
a person's documents and the household's: name anything, password an API key.

    request -> whose key -> place -> locks and conditions -> rag.sock -> answer

Nothing is kept here but the locks. Properties of clients' own making are not kept; Explorer's times
are taken without effect, as it would give up otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from goni_core import contract, web
from goni_core.errors import BadInput, Forbidden, GoniError, NotFound, TooLarge, TooMany
from goni_core.http import ANSWER_TIMEOUT
from goni_gateway import (
    bodies,
    dav_asked,
    dav_callers,
    dav_locks,
    dav_properties,
    dav_xml,
    gateway,
    passage,
)
from goni_gateway.dav_asked import Asked
from goni_gateway.dav_locks import PreconditionFailed
from goni_gateway.dav_paths import BASE, Place, destination, parsed
from goni_gateway.dav_properties import Entry

METHODS = [
    *("OPTIONS", "GET", "HEAD", "PROPFIND", "PUT", "DELETE", "MKCOL", "MOVE", "COPY"),
    *("LOCK", "UNLOCK", "PROPPATCH"),
]
COMPLIANCE = {"dav": "1, 2", "ms-author-via": "DAV", "allow": ", ".join(METHODS)}
XML = "application/xml; charset=utf-8"
HINT = "Mount this address as a network drive; any name, and an API key as the password.\n"


class NotSupported(GoniError):
    """A request body where none is understood (415)."""

    status = 415
    code = "unsupported_body"


class NotThere(GoniError):
    """A method that this kind of place doesn't have (405)."""

    status = 405
    code = "not_allowed_here"


async def dav(request: Request) -> Response:
    """One request below ``/dav``."""
    try:
        person = await dav_callers.person(request)
        place = parsed(request.path_params.get("path", ""), person)
        clauses = tuple(dav_locks.clauses(request.headers.get("if", "")))
        asked = Asked(gateway.of(request), request, person, place, clauses)
        await dav_asked.check_conditions(asked)
        return await HANDLERS[request.method](asked)
    except TooMany:
        raise
    except GoniError as error:
        if error.status == 401:
            challenge = {"www-authenticate": 'Basic realm="Goni", charset="UTF-8"'}
            return JSONResponse(web.error_body(error), status_code=401, headers=challenge)
        raise


async def _options(asked: Asked) -> Response:
    return Response(status_code=200, headers=COMPLIANCE)


async def _get(asked: Asked) -> Response:
    entry = await asked.entry(asked.place)
    if entry is None:
        raise NotFound("there is no such file or folder")
    if entry.is_folder:
        return PlainTextResponse(HINT)
    rag, params = asked.gate.rag, dav_properties.params(asked.place)
    return await passage.download(asked.request, rag, "/files", params, asked.place.name)


async def _propfind(asked: Asked) -> Response:
    depth = asked.header("depth").strip().lower() or "infinity"
    wanted = dav_xml.wanted(await _body(asked))
    if depth not in ("0", "1"):
        finite = dav_xml.error("propfind-finite-depth")
        return Response(finite, status_code=403, media_type=XML)
    entry, inside = await dav_properties.look(asked.gate.rag, asked.place, asked.person)
    shown = [entry, *(inside if depth == "1" else ())]
    locks = asked.gate.locks
    said = [dav_properties.response(each, wanted, locks.of(each.place.key)) for each in shown]
    return Response(dav_xml.multistatus(said), status_code=207, media_type=XML)


async def _proppatch(asked: Asked) -> Response:
    asked.may_write(asked.place)
    entry = await asked.entry(asked.place)
    if entry is None:
        raise NotFound("there is no such file or folder")
    names = dav_xml.changed(await _body(asked))
    href = asked.place.href(folder=entry.is_folder)
    said = dav_properties.unchanged(href, names)
    return Response(dav_xml.multistatus([said]), status_code=207, media_type=XML)


async def _put(asked: Asked) -> Response:
    there = await asked.entry(asked.place)
    asked.may_write(asked.place, membership=there is None)
    if there and there.is_folder:
        raise NotThere("a folder has that name")
    if asked.header("content-range"):
        raise BadInput("files are taken whole only", code="no_ranges")
    if asked.header("if-none-match") == "*" and there:
        raise PreconditionFailed("the file is there already")
    match = asked.header("if-match")
    if match and (there is None or match not in ("*", there.etag)):
        raise PreconditionFailed("the file has changed")
    size = web.content_length(asked.request.headers)
    if size is not None and size > contract.DOCUMENT_LIMIT:
        raise TooLarge(f"larger than the limit of {contract.DOCUMENT_LIMIT >> 20} MiB")
    await _stored(asked, bodies.upload(asked.request), size)
    return Response(status_code=204 if there else 201)


async def _stored(asked: Asked, content: object, size: int | None) -> None:
    headers = {} if size is None else {"content-length": str(size)}
    await asked.gate.rag.call(
        "PUT",
        f"/documents/{quote(asked.place.path, safe='/')}",
        params={"owner": asked.place.owner, "wait": "no"},
        content=content,  # type: ignore[arg-type]  # bytes, or blocks of them
        headers=headers,
        timeout=ANSWER_TIMEOUT,
    )


async def _delete(asked: Asked) -> Response:
    asked.may_write(asked.place, deep=True, membership=True)
    params = dav_properties.params(asked.place)
    await asked.gate.rag.call("DELETE", "/documents", params=params, timeout=ANSWER_TIMEOUT)
    asked.gate.locks.drop(asked.place.key)
    return Response(status_code=204)


async def _mkcol(asked: Asked) -> Response:
    if await asked.entry(asked.place):
        raise NotThere("something has that name already")
    asked.may_write(asked.place, membership=True)
    async for _ in asked.request.stream():
        if _:
            raise NotSupported("a new folder takes no body")
    wanted = {"owner": asked.place.owner, "path": asked.place.path}
    await asked.gate.rag.call("POST", "/folder", json=wanted)
    return Response(status_code=201)


async def _transfer(asked: Asked) -> Response:
    """MOVE and COPY."""
    moving = asked.request.method == "MOVE"
    to = destination(asked.header("destination"), asked.header("host"), asked.person)
    replace = asked.header("overwrite").strip().upper() != "F"
    if asked.place.is_top or asked.place.key == to.key:
        raise Forbidden("that folder stays as it is")
    there = await asked.entry(to)
    if there and not replace:
        raise PreconditionFailed("something has that name already")
    asked.may_write(to, deep=True, membership=there is None)
    if moving:
        asked.may_write(asked.place, deep=True, membership=True)
    elif not asked.deep and await _copied_alone(asked, to, there):
        return Response(status_code=204 if there else 201)
    wanted = {**dav_properties.params(asked.place), "to_owner": to.owner, "to": to.path}
    rag, path = asked.gate.rag, "/move" if moving else "/copy"
    await rag.call("POST", path, json={**wanted, "replace": replace}, timeout=ANSWER_TIMEOUT)
    if moving:
        asked.gate.locks.drop(asked.place.key)
    return Response(status_code=204 if there else 201)


async def _copied_alone(asked: Asked, to: Place, there: Entry | None) -> bool:
    """A folder without what is in it; False if it is none."""
    entry = await asked.entry(asked.place)
    if entry is None or not entry.is_folder:
        return False
    if there:
        await asked.gate.rag.call("DELETE", "/documents", params=dav_properties.params(to))
    wanted = {"owner": to.owner, "path": to.path}
    await asked.gate.rag.call("POST", "/folder", json=wanted)
    return True


async def _lock(asked: Asked) -> Response:
    locks, seconds = asked.gate.locks, dav_locks.seconds_of(asked.header("timeout"))
    body = await _body(asked)
    if not body:
        lock = locks.refresh(asked.place.key, asked.person.id, asked.tokens, seconds)
        return _locked(lock, 200)
    if asked.place.is_top:
        raise Forbidden("that folder stays as it is")
    info = dav_xml.lock_info(body)
    there = await asked.entry(asked.place)
    lock = locks.add(
        asked.place.key,
        asked.person.id,
        info.owner,
        deep=asked.deep,
        exclusive=info.exclusive,
        seconds=seconds,
    )
    if there is None:  # RFC 4918, 9.10.4: locking a name makes an empty file
        try:
            await _stored(asked, b"", 0)
        except GoniError:
            locks.remove(lock.key, lock.person, lock.token)
            raise
    return _locked(lock, 200 if there else 201)


def _locked(lock: dav_locks.Lock, status: int) -> Response:
    content = f"<D:lockdiscovery>{dav_properties.active(lock)}</D:lockdiscovery>"
    headers = {"lock-token": f"<{lock.token}>"}
    return Response(dav_xml.prop(content), status_code=status, media_type=XML, headers=headers)


async def _unlock(asked: Asked) -> Response:
    token = asked.header("lock-token").strip().removeprefix("<").removesuffix(">")
    if not token:
        raise BadInput("the Lock-Token is missing", code="missing_field")
    asked.gate.locks.remove(asked.place.key, asked.person.id, token)
    return Response(status_code=204)


async def _body(asked: Asked) -> bytes:
    return await bodies.read(asked.request, limit=dav_xml.LIMIT)


HANDLERS: dict[str, Callable[[Asked], Awaitable[Response]]] = {
    "OPTIONS": _options,
    "GET": _get,
    "HEAD": _get,
    "PROPFIND": _propfind,
    "PROPPATCH": _proppatch,
    "PUT": _put,
    "DELETE": _delete,
    "MKCOL": _mkcol,
    "MOVE": _transfer,
    "COPY": _transfer,
    "LOCK": _lock,
    "UNLOCK": _unlock,
}
ROUTES = [
    Route(BASE, dav, methods=METHODS),
    Route(BASE + "/{path:path}", dav, methods=METHODS),
]
