"""What a node answers its peers on the channel: health, and the roster. Whoever gets here was told
apart by :class:`channel.Guard`; a node that was removed meanwhile is cut off and refused.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import web
from goni_core.errors import Forbidden
from goni_mesh import sync
from goni_mesh.household import Household
from goni_mesh.peers import Address

VERSION = "0.1.0"


def application(household: Household, asked: Callable[[str, Address, str], None]) -> Starlette:
    """The channel's ASGI application; ``asked`` learns at which address a peer says to be, and the
    digest of its roster.
    """

    async def health(request: Request) -> Response:
        peer = _peer(request, household)
        port = request.query_params.get("port", "")
        if request.client and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
            address = request.client.host.removeprefix("::ffff:"), int(port)
            asked(peer, address, request.query_params.get("digest", ""))
        now = household.joined()
        name = now.members.standing[household.node.id].name
        said = {"name": name, "version": VERSION, "words": "well", "digest": sync.digest(now)}
        return JSONResponse(said)

    async def roster(request: Request) -> Response:
        _peer(request, household)
        body = await web.read_json(request, limit=sync.LIMIT)
        asked = sync.parse(body, household.joined().household)
        return JSONResponse(sync.answered(household, asked).plain())

    return web.application([Route("/health", health), Route("/roster", roster, methods=["POST"])])


def _peer(request: Request, household: Household) -> str:
    node = str(request.state.peer)
    if node not in household.peers():
        raise Forbidden("that node does not belong to this household", code="removed")
    return node
