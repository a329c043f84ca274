"""The page's account routes: signing in and out, who am I, keys, and the origins that may use them.

Keys are made and revoked by a signed-in person only: a key that leaked can't make more of itself.
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.contract import plain
from goni_core.errors import Forbidden, NotAllowed
from goni_gateway import (
    bodies,
    callers,
    gateway,
    keys,
    origins,
    passwords,
    people,
    sessions,
    sign_ins,
)
from goni_gateway.people import Person

log = logging.getLogger(__name__)


async def sign_in(request: Request) -> Response:
    if callers.from_elsewhere(request.headers):
        raise Forbidden("that request comes from another site", code="cross_site")
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"name", "password"})
    name = fields.text(body, "name", longest=people.LONGEST_NAME)
    password = fields.text(body, "password", longest=passwords.LONGEST)
    person = await _checked(request, name, password)
    token = await gateway.of(request).database.do(sessions.start, person)
    response = JSONResponse(plain(person))
    sessions.set_cookie(response, token)
    return response


async def _checked(request: Request, name: str, password: str) -> Person:
    """The person with that name and password; the same :class:`NotAllowed` whichever is wrong."""
    gate = gateway.of(request)
    account, address = people.key_of(name), callers.address(request)
    gate.throttle.attempt(account, address)
    found = await gate.database.do(people.named, name)
    right = await passwords.matches(password, found[1] if found else people.LOCKED)
    if found is not None:
        await gate.database.do(sign_ins.record, found[0].id, address, succeeded=right)
    if not right:
        log.warning("a sign-in failed")
        raise NotAllowed("the name or the password is wrong", code="wrong_password")
    assert found is not None
    gate.throttle.succeeded(account, address)
    log.info("person %s signed in", found[0].id)
    return found[0]


async def sign_out(request: Request) -> Response:
    await callers.signed_in(request)
    token = request.cookies.get(sessions.COOKIE, "")
    await gateway.of(request).database.do(sessions.end, token)
    response = JSONResponse({"signed_out": True})
    sessions.set_cookie(response, "")
    return response


async def me(request: Request) -> Response:
    person = await callers.person(request)
    node = await gateway.of(request).database.do(people.node_of)
    return JSONResponse({**plain(person), "node_name": node.name})


async def list_keys(request: Request) -> Response:
    person = await callers.signed_in(request)
    found = await gateway.of(request).database.do(keys.listed, person)
    return JSONResponse({"keys": [plain(key) for key in found]})


async def create_key(request: Request) -> Response:
    person = await callers.signed_in(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"name"})
    name = people.display_name(body, "name")
    key, secret = await gateway.of(request).database.do(keys.create, person, name)
    return JSONResponse({**plain(key), "key": secret}, status_code=201)


async def revoke_key(request: Request) -> Response:
    person = await callers.signed_in(request)
    await gateway.of(request).database.do(keys.revoke, person, request.path_params["key"])
    return JSONResponse({"revoked": True})


async def list_origins(request: Request) -> Response:
    await callers.signed_in_owner(request)
    found = await gateway.of(request).database.do(origins.listed)
    return JSONResponse({"origins": [plain(origin) for origin in found]})


async def open_origin(request: Request) -> Response:
    await callers.signed_in_owner(request)
    origin = origins.parsed(await bodies.text_of(request, "origin", longest=300))
    opened = await gateway.of(request).database.do(origins.add, origin)
    return JSONResponse(plain(opened), status_code=201)


async def close_origin(request: Request) -> Response:
    await callers.signed_in_owner(request)
    await gateway.of(request).database.do(
        origins.close, await bodies.text_of(request, "origin", longest=300)
    )
    return JSONResponse({"closed": True})


ROUTES = [
    Route("/api/sign-in", sign_in, methods=["POST"]),
    Route("/api/sign-out", sign_out, methods=["POST"]),
    Route("/api/me", me, methods=["GET"]),
    Route("/api/keys", list_keys, methods=["GET"]),
    Route("/api/keys", create_key, methods=["POST"]),
    Route("/api/keys/{key}", revoke_key, methods=["DELETE"]),
    Route("/api/origins", list_origins, methods=["GET"]),
    Route("/api/origins", open_origin, methods=["POST"]),
    Route("/api/origins/close", close_origin, methods=["POST"]),
]
