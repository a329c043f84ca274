"""What a node answers its peers on the channel: health, the roster, what it can take on, and chats
by its engine. Whoever gets here was told apart by :class:`channel.Guard`; a node that was removed
meanwhile is cut off and refused.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import contract, web
from goni_core.errors import Forbidden
from goni_mesh import chats, loads, sync
from goni_mesh.household import Household
from goni_mesh.loads import Loads
from goni_mesh.peers import Address

VERSION = "0.1.0"


Asked = Callable[[str, Address, str, str], None]


def application(household: Household, asked: Asked, known: Loads) -> Starlette:
    """The channel's ASGI application; ``asked`` learns at which address a peer says to be, the
    digest of its roster, and that of the load which it believes this node to have.
    """

    async def health(request: Request) -> Response:
        peer = _peer(request, household)
        port = request.query_params.get("port", "")
        if request.client and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
            address = request.client.host.removeprefix("::ffff:"), int(port)
            told = (request.query_params.get(name, "") for name in ("digest", "load"))
            asked(peer, address, *told)
        now = household.joined()
        name = now.members.standing[household.node.id].name
        said = {"name": name, "version": VERSION, "words": "well", "digest": sync.digest(now)}
        return JSONResponse({**said, "load": known.held(peer)})

    async def load(request: Request) -> Response:
        peer = _peer(request, household)
        body = await web.read_json(request, limit=loads.LIMIT)
        known.take(peer, contract.load_from(body))
        return JSONResponse({})

    async def roster(request: Request) -> Response:
        _peer(request, household)
        body = await web.read_json(request, limit=sync.LIMIT)
        asked = sync.parse(body, household.joined().household)
        return JSONResponse(sync.answered(household, asked).plain())

    async def chat(request: Request) -> Response:
        return await chats.from_peer(
            request, known.engine, request.url.path, _peer(request, household), door
        )

    door = chats.Door()
    return web.application(
        [
            Route(chats.CHAT, chat, methods=["POST"]),
            Route(chats.COUNT, chat, methods=["POST"]),
            Route("/health", health),
            Route("/roster", roster, methods=["POST"]),
            Route("/load", load, methods=["POST"]),
        ]
    )


def _peer(request: Request, household: Household) -> str:
    node = str(request.state.peer)
    if node not in household.peers():
        raise Forbidden("that node does not belong to this household", code="removed")
    return node
