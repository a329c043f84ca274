"""The routes of ``mesh.sock`` as in ``goni_core.contract``: parse, ask, answer.

Who may connect is decided by the socket file's rights. Whatever changes the household takes the
owner's password (or the recovery key) with the request, in its body and never in an address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.contract import (
    PAIRING_PORT,
    Check,
    Health,
    JoinOffer,
    MeshStatus,
    Nearby,
    plain,
)
from goni_core.errors import BadInput, Unavailable
from goni_mesh import channel_api, chats, door, fields_api, peers, records, secret
from goni_mesh.household import Household, checked_name
from goni_mesh.pairing import Pairing
from goni_mesh.peers import Address, Peers

OFFER_S, INVITE_S = 600.0, 86_400.0
KEPT_S = 365 * 86_400.0
"""Of an offer whose PIN is the asker's own: it ends with its tries, or with this process."""


@dataclass(frozen=True)
class Mesh:
    """What the routes work on; ``door_changed`` is called when the pairing port may have to open or
    close.
    """

    household: Household
    peers: Peers
    pairing: Pairing
    pairing_port: int
    door_changed: Callable[[], None]
    nearby: Callable[[], list[Nearby]]


def application(mesh: Mesh) -> Starlette:
    """The service's ASGI application for its own node."""
    return web.application(
        [*_about(mesh), *_owner(mesh), *_pairing(mesh), *fields_api.routes(mesh.household)]
    )


def _about(mesh: Mesh) -> list[Route]:
    async def health(request: Request) -> Response:
        state = mesh.household.state
        away = [peer.name for peer in mesh.peers.states() if not peer.here]
        # A peer that is switched off is no fault of this node's.
        words = f"{len(away)} nodes do not answer" if away else "well"
        return JSONResponse(plain(Health("mesh", True, words, (Check("household", True, state),))))

    async def status(request: Request) -> Response:
        return JSONResponse(plain(_status(mesh)))

    async def listing(request: Request) -> Response:
        return JSONResponse({"peers": [plain(peer) for peer in mesh.peers.states()]})

    async def nodes(request: Request) -> Response:
        return JSONResponse({"nodes": [plain(node) for node in mesh.peers.loads()]})

    async def chat(request: Request) -> Response:
        peer = mesh.peers.client(request.path_params["node"])
        if peer is None:
            raise Unavailable("that node does not answer", code="peer_unavailable")
        household = mesh.household.joined().household
        path = request.url.path.removeprefix(f"/nodes/{request.path_params['node']}")
        return await chats.to_peer(request, peer, path, household)

    async def nearby(request: Request) -> Response:
        return JSONResponse({"nodes": [plain(one) for one in mesh.nearby()]})

    async def authority(request: Request) -> Response:
        root = mesh.household.joined().founding.body["root"]
        return JSONResponse({"certificate": root})

    return [
        Route("/health", health),
        Route("/status", status),
        Route("/peers", listing),
        Route("/nodes", nodes),
        Route("/nodes/{node}" + chats.CHAT, chat, methods=["POST"]),
        Route("/nodes/{node}" + chats.COUNT, chat, methods=["POST"]),
        Route("/nearby", nearby),
        Route("/authority", authority),
    ]


def _status(mesh: Mesh) -> MeshStatus:
    now, mine = mesh.household.roster, mesh.household.node.id
    held, open_ = mesh.pairing.door, mesh.pairing.tidy()
    offer = None
    if held is not None and not mesh.pairing.invites and (open_ or held.words or held.tries == 0):
        shown = held.code if open_ and not held.words else ""
        offer = JoinOffer(shown, mesh.pairing_port, held.seconds, held.tries, held.words)
    nodes = now.members.standing if now else {}
    return MeshStatus(
        state=mesh.household.state,
        node=mine,
        name=nodes[mine].name if mine in nodes else "",
        household=str(now.founding.body["household_name"]) if now else "",
        nodes=len(nodes),
        offer=offer,
        inviting=mesh.pairing.invites and open_,
        words=mesh.pairing.words,
        version=channel_api.VERSION,
    )


def _owner(mesh: Mesh) -> list[Route]:
    async def found(request: Request) -> Response:
        body = await _body(request, {"name", "node_name", "password"})
        name, node = (
            checked_name(fields.text(body, one, longest=80)) for one in ("name", "node_name")
        )
        code = await mesh.household.found(name, node, _password(body))
        # Whoever still types this node's PIN elsewhere comes too late.
        mesh.pairing.take_back()
        mesh.door_changed()
        return JSONResponse({"recovery": code}, status_code=201)

    async def password(request: Request) -> Response:
        body = await _body(request, {"password", "new"})
        new = fields.text(body, "new", longest=secret.LONGEST)
        await mesh.household.change_password(_password(body), new)
        return JSONResponse({})

    async def remove(request: Request) -> Response:
        body = await _body(request, {"node", "password", "recovery"})
        node = _node(mesh, fields.text(body, "node", longest=64))
        if "recovery" in body:
            word = secret.recovery_key(fields.text(body, "recovery", longest=100))
            mesh.household.remove(node, word, recovery=True)
        else:
            opened = await mesh.household.open(_password(body))
            mesh.household.remove(node, opened.owner)
        return JSONResponse({"node": node})

    async def leave(request: Request) -> Response:
        await _body(request, set())
        mesh.household.reset()
        return JSONResponse({})

    return [
        Route("/household", found, methods=["POST"]),
        Route("/password", password, methods=["PUT"]),
        Route("/remove", remove, methods=["POST"]),
        Route("/leave", leave, methods=["POST"]),
    ]


def _pairing(mesh: Mesh) -> list[Route]:
    async def offer(request: Request) -> Response:
        body = await _body(request, {"pin"}) if web.content_length(request.headers) else {}
        pin = fields.text(body, "pin", longest=6, default="")
        if pin and not door.is_pin(pin):
            raise BadInput("pin must have six digits", code="bad_value")
        mesh.pairing.offer(KEPT_S if pin else OFFER_S, pin)
        mesh.door_changed()
        return JSONResponse(plain(_status(mesh))["offer"], status_code=201)

    async def take_back(request: Request) -> Response:
        mesh.pairing.take_back()
        mesh.door_changed()
        return JSONResponse({})

    async def pair(request: Request) -> Response:
        body = await _body(request, {"address", "pin", "name", "password"})
        pin = fields.text(body, "pin", longest=20).replace(" ", "")
        name = checked_name(fields.text(body, "name", longest=80))
        word = await mesh.household.open(_password(body))
        return JSONResponse(vars(await mesh.pairing.pair(_address(body), pin, name, word)))

    async def invite(request: Request) -> Response:
        body = await _body(request, {"name", "password", "short"})
        name = checked_name(fields.text(body, "name", longest=80))
        short = fields.flag(body, "short")
        seconds = OFFER_S if short else INVITE_S
        word = await mesh.household.open(_password(body))
        code = mesh.pairing.invite(name, word, seconds, short=short)
        mesh.door_changed()
        said = {"code": code, "port": mesh.pairing_port, "seconds": int(seconds)}
        return JSONResponse(said, status_code=201)

    async def join(request: Request) -> Response:
        body = await _body(request, {"address", "code"})
        code = fields.text(body, "code", longest=100)
        return JSONResponse({"words": (await mesh.pairing.join(_address(body), code)).words})

    return [
        Route("/offer", offer, methods=["POST"]),
        Route("/offer", take_back, methods=["DELETE"]),
        Route("/pair", pair, methods=["POST"]),
        Route("/invite", invite, methods=["POST"]),
        Route("/invite", take_back, methods=["DELETE"]),
        Route("/join", join, methods=["POST"]),
    ]


async def _body(request: Request, known: set[str]) -> fields.Object:
    body = await web.read_json(request)
    fields.only(body, known)
    return body


def _password(body: fields.Object) -> str:
    return fields.text(body, "password", longest=secret.LONGEST)


def _address(body: fields.Object) -> Address:
    given = fields.text(body, "address", longest=260)
    plain_host = given.count(":") != 1 and not given.startswith("[")
    address = (given, PAIRING_PORT) if plain_host else peers.parse(given)
    if address is None:
        raise BadInput("address is HOST, HOST:PORT or [HOST]:PORT", code="bad_address")
    return address


def _node(mesh: Mesh, given: str) -> str:
    """The id that ``given`` is, begins, or names; :class:`BadInput` unless it means just one."""
    now = mesh.household.roster
    if now is None or records.HASH.fullmatch(given):
        return given
    named: Any = now.members.standing.values()
    found = [one.id for one in named if one.name == given]
    found = found or [one.id for one in named if len(given) >= 8 and one.id.startswith(given)]
    if len(found) != 1:
        raise BadInput(
            "that means no node, or several", hint="give the id that goni-mesh peers shows"
        )
    return str(found[0])
