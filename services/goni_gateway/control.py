"""The control socket, for this node's own services: health, and setting up.

Who may connect is decided by the socket file's rights; nothing here asks who it is.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.contract import Check, Health, plain
from goni_core.errors import Conflict, GoniError
from goni_core.http import Service
from goni_gateway import gateway, passwords, people
from goni_gateway.gateway import Gateway

log = logging.getLogger(__name__)

REACH_S = 30.0


async def health(request: Request) -> Response:
    gate = gateway.of(request)
    checks = await asyncio.gather(
        _database(gate), _reachable("engine", gate.engine), _reachable("rag", gate.rag)
    )
    bad = [check.detail for check in checks if not check.ok]
    words = "; ".join(bad) if bad else "answering"
    return JSONResponse(plain(Health("gateway", not bad, words, tuple(checks))))


async def _database(gate: Gateway) -> Check:
    sound = await asyncio.to_thread(gate.database.sound)
    return Check("database", sound, "" if sound else "the gateway's database is damaged")


async def _reachable(name: str, service: Service) -> Check:
    """Whether it answers; how well it is, it says itself."""
    try:
        async with asyncio.timeout(REACH_S):
            await service.call("GET", "/health")
    except (GoniError, TimeoutError) as error:
        if isinstance(error, GoniError) and not error.code.endswith("_unavailable"):
            return Check(name, True, error.message)
        return Check(name, False, f"{service.name} does not answer")
    return Check(name, True)


async def setup_state(request: Request) -> Response:
    node = await gateway.of(request).database.do(people.node_of)
    return JSONResponse({"complete": node.complete, "node_name": node.name})


async def set_up(request: Request) -> Response:
    gate = gateway.of(request)
    if gate.complete.is_set():
        raise Conflict("this node is set up already", code="already_set_up")
    body = await web.read_json(request)
    fields.only(body, {"owner", "node_name"})
    owner = fields.objects({"owner": [body.get("owner")]}, "owner", most=1)[0]
    fields.only(owner, {"name", "password"})
    name, node = people.display_name(owner, "name"), people.display_name(body, "node_name")
    password = fields.text(owner, "password", longest=passwords.LONGEST)
    stored = await passwords.hash_of(password)
    person = await gate.database.do(people.set_up, name, stored, node)
    gate.mark_complete()
    log.info("set up; the owner is person %s", person.id)
    return JSONResponse({"complete": True, "node_name": node}, status_code=201)


def application(gate: Gateway) -> Starlette:
    routes = [
        Route("/health", health, methods=["GET"]),
        Route("/setup", setup_state, methods=["GET"]),
        Route("/setup", set_up, methods=["POST"]),
    ]
    return web.application(routes, lifespan=gateway.carried(gate))
