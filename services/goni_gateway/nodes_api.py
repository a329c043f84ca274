"""The household's nodes under ``/api/nodes``: everybody sees them, an owner adds and removes them.

Each change goes to the mesh with the household's password, which is kept no longer than the
request; wrong ones are slowed down like wrong passwords at the door.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.errors import BadInput, GoniError
from goni_core.http import Service, Timeout
from goni_gateway import bodies, callers, gateway, passwords

log = logging.getLogger(__name__)

ACCOUNT = "\x00household"
"""Under which wrong words of the household are counted: nobody's name."""
PATIENCE = Timeout(120.0)
LONGEST_NAME = 80
MOST = 1000
NOWHERE = ("no_household", "removed")


async def list_nodes(request: Request) -> Response:
    """The household's nodes and how they are; for an owner also those that wait to be let in."""
    person = await callers.signed_in(request)
    mesh = gateway.of(request).mesh
    status = await mesh.call("GET", "/status")
    nodes = [_own(status)] if status.get("state") == "member" else []
    nodes += fields.objects(await mesh.call("GET", "/peers"), "peers", most=MOST)
    shown = {
        "state": fields.text(status, "state"),
        "household": fields.text(status, "household", default=""),
        "nodes": sorted(nodes, key=lambda one: (not one.get("own"), str(one.get("name")))),
        "fingerprint": await _fingerprint(mesh),
        "inviting": fields.flag(status, "inviting"),
        "words": fields.text(status, "words", default=""),
    }
    if person.is_owner:
        near = fields.objects(await mesh.call("GET", "/nearby"), "nodes", most=MOST)
        shown["waiting"] = [_waiting(one) for one in near if one.get("state") == "waiting"]
        shown["offer"] = status.get("offer")
    return JSONResponse(shown)


async def begin_household(request: Request) -> Response:
    """A household with this node as its first; the answer has the code to write down, this once."""
    body = await _owners(request, {"name", "node_name", "password"})
    return await _changed(request, body, lambda mesh: _call(mesh, "/household", body), 201)


async def offer_node(request: Request) -> Response:
    """Let an owner elsewhere take this node in, by the PIN in the answer."""
    await callers.signed_in_owner(request)
    return JSONResponse(await gateway.of(request).mesh.call("POST", "/offer"), status_code=201)


async def join_household(request: Request) -> Response:
    """Join by a code that another node has made; the answer has the words to compare."""
    await callers.signed_in_owner(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"address", "code"})
    return JSONResponse(await _call(gateway.of(request).mesh, "/join", body), status_code=201)


async def leave_household(request: Request) -> Response:
    """Forget the household, with a new key; ``name`` is its name, so that no slip does this. The
    other nodes still list this one until it is removed there.
    """
    await callers.signed_in_owner(request)
    name = await bodies.text_of(request, "name", longest=LONGEST_NAME)
    mesh = gateway.of(request).mesh
    status = await mesh.call("GET", "/status")
    if name != status.get("household"):
        raise BadInput("name must be the household's", code="not_confirmed")
    await mesh.call("POST", "/leave", json={})
    return JSONResponse({"left": True})


async def add_node(request: Request) -> Response:
    """Let in the node at ``address`` that shows ``pin``; the answer has the words to compare."""
    body = await _owners(request, {"address", "pin", "name", "password"})
    return await _changed(request, body, lambda mesh: _call(mesh, "/pair", body), 201)


async def invite_node(request: Request) -> Response:
    """A code by which one node can join from elsewhere; ``short``: a PIN, for one that is near."""
    body = await _owners(request, {"name", "password", "short"})
    fields.flag(body, "short")
    return await _changed(request, body, lambda mesh: _call(mesh, "/invite", body), 201)


async def withdraw_node(request: Request) -> Response:
    await callers.signed_in_owner(request)
    await gateway.of(request).mesh.call("DELETE", "/invite")
    return JSONResponse({"withdrawn": True})


async def remove_node(request: Request) -> Response:
    """Remove a node for good. ``name`` is its name once more, so that no slip removes one."""
    body = await _owners(request, {"name", "password"})
    node, mesh = request.path_params["node"], gateway.of(request).mesh
    status = await mesh.call("GET", "/status")
    peers = fields.objects(await mesh.call("GET", "/peers"), "peers", most=MOST)
    names = {str(one.get("id")): str(one.get("name")) for one in [_own(status), *peers]}
    if names.get(node, fields.text(body, "name", longest=LONGEST_NAME)) != body["name"]:
        raise BadInput("name must be the node's", code="not_confirmed")
    asked = {"node": node, "password": body["password"]}
    return await _changed(request, body, lambda mesh: _call(mesh, "/remove", asked), 200)


async def _owners(request: Request, known: set[str]) -> fields.Object:
    """The owner's body, its texts checked; whoever else asks is refused before it is read."""
    await callers.signed_in_owner(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, known)
    for name, longest in (("name", LONGEST_NAME), ("password", passwords.LONGEST)):
        fields.text(body, name, longest=longest)
    return body


async def _changed(
    request: Request,
    body: fields.Object,
    change: Callable[[Service], Awaitable[fields.Object]],
    status: int,
) -> Response:
    gate, address = gateway.of(request), callers.address(request)
    gate.throttle.attempt(ACCOUNT, address)
    try:
        said = await change(gate.mesh)
    except GoniError as error:
        if error.code != "wrong_password":
            gate.throttle.succeeded(ACCOUNT, address)
        raise
    gate.throttle.succeeded(ACCOUNT, address)
    log.info("the household was changed by its owner: %s", request.scope["endpoint"].__name__)
    return JSONResponse(said, status_code=status)


async def _call(mesh: Service, path: str, body: fields.Object) -> fields.Object:
    return await mesh.call("POST", path, json=dict(body), timeout=PATIENCE)


def _own(status: fields.Object) -> fields.Object:
    about = {name: status.get(name) for name in ("name", "version")}
    return {
        "id": status.get("node"),
        **about,
        "own": True,
        "here": True,
        "seen": 0,
        "words": "well",
    }


def _waiting(near: fields.Object) -> fields.Object:
    """A node that shows a PIN, and where to reach it; all of it is hearsay."""
    host = str((near.get("addresses") or [""])[0])
    where = f"[{host}]" if ":" in host else host
    return {"id": near.get("id"), "address": f"{where}:{near.get('pairing_port')}"}


async def _fingerprint(mesh: Service) -> str:
    """The SHA-256 of the household's root certificate, as phones and computers show it."""
    try:
        said = await mesh.call("GET", "/authority")
    except GoniError as error:
        if error.code in NOWHERE:
            return ""
        raise
    der = ssl.PEM_cert_to_DER_cert(fields.text(said, "certificate", longest=10_000))
    return hashlib.sha256(der).digest().hex(":").upper()


ROUTES = [
    Route("/api/nodes", list_nodes, methods=["GET"]),
    Route("/api/nodes", add_node, methods=["POST"]),
    Route("/api/nodes/invitation", invite_node, methods=["POST"]),
    Route("/api/nodes/invitation", withdraw_node, methods=["DELETE"]),
    Route("/api/nodes/{node}/remove", remove_node, methods=["POST"]),
    Route("/api/household", begin_household, methods=["POST"]),
    Route("/api/household/offer", offer_node, methods=["POST"]),
    Route("/api/household/join", join_household, methods=["POST"]),
    Route("/api/household/leave", leave_household, methods=["POST"]),
]
