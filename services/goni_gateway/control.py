"""The control socket, for this node's own services: health, and setting up, models included.

Who may connect is decided by the socket file's rights; nothing here asks who it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.contract import Check, Health, plain
from goni_core.errors import Conflict, GoniError, Unavailable
from goni_core.http import Service
from goni_gateway import downloads_api, gateway, passwords, people
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
    database = gateway.of(request).database
    node, owner = await database.do(people.node_of), await database.do(people.owner_of)
    return JSONResponse(
        {
            "complete": node.complete,
            "node_name": node.name,
            "owner": "" if owner is None else owner.name,
        }
    )


async def name_owner(request: Request) -> Response:
    gate = _unfinished(request)
    name, stored = await _owner(await web.read_json(request))
    await gate.database.do(people.name_owner, name, stored)
    return JSONResponse({})


async def set_up(request: Request) -> Response:
    gate = _unfinished(request)
    body = await web.read_json(request)
    fields.only(body, {"owner", "node_name"})
    node = people.display_name(body, "node_name")
    if "owner" in body:
        owner = fields.objects({"owner": [body.get("owner")]}, "owner", most=1)[0]
        person = await gate.database.do(people.set_up, *await _owner(owner), node)
    else:
        # A node that has joined a household gets its owner from there.
        with contextlib.suppress(Unavailable):
            await gate.household.look()
        person = await gate.database.do(people.complete, node)
    gate.mark_complete()
    log.info("set up; the owner is person %s", person.id)
    return JSONResponse({"complete": True, "node_name": node}, status_code=201)


def _unfinished(request: Request) -> Gateway:
    gate = gateway.of(request)
    if gate.complete.is_set():
        raise Conflict("this node is set up already", code="already_set_up")
    return gate


async def _owner(said: fields.Object) -> tuple[str, str]:
    """The owner's name and hashed password."""
    fields.only(said, {"name", "password"})
    name = people.display_name(said, "name")
    password = fields.text(said, "password", longest=passwords.LONGEST)
    return name, await passwords.hash_of(password)


async def list_downloads(request: Request) -> Response:
    return JSONResponse({"downloads": await gateway.of(request).downloads.listed()})


async def start_download(request: Request) -> Response:
    body = await web.read_json(request)
    fields.only(body, {"model"})
    key = await downloads_api.start(gateway.of(request), fields.text(body, "model", longest=100))
    return JSONResponse({"id": key}, status_code=201)


async def remove_download(request: Request) -> Response:
    await gateway.of(request).downloads.remove(downloads_api.key_of(request))
    return JSONResponse({"deleted": True})


def application(gate: Gateway) -> Starlette:
    routes = [
        Route("/health", health, methods=["GET"]),
        Route("/setup", setup_state, methods=["GET"]),
        Route("/setup", set_up, methods=["POST"]),
        Route("/setup/owner", name_owner, methods=["PUT"]),
        Route("/downloads", list_downloads, methods=["GET"]),
        Route("/downloads", start_download, methods=["POST"]),
        Route("/downloads/{key}", remove_download, methods=["DELETE"]),
    ]
    return web.application(routes, lifespan=gateway.carried(gate))
