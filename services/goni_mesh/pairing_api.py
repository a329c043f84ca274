"""The pairing port: the only thing of the mesh that answers strangers, and only while this node
waits for one. Three routes, small bodies, and nothing in an answer that the door didn't allow.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.errors import NotFound
from goni_mesh.door import Door
from goni_mesh.pairing import LARGE, SMALL, Pairing


def application(pairing: Pairing) -> Starlette:
    """The pairing port's ASGI application."""

    def door() -> Door:
        if pairing.door is None:
            raise NotFound("nobody is expected here", code="no_offer")
        return pairing.door

    async def hello(request: Request) -> Response:
        body = await web.read_json(request, limit=SMALL)
        fields.only(body, {"name", "message"})
        name = fields.text(body, "name", longest=10, default="")
        session, message = door().hello(name, fields.text(body, "message", longest=200))
        return JSONResponse({"session": session, "message": message})

    async def proof(request: Request) -> Response:
        session, sealed = await said(request, SMALL)
        held = door().session(session, proved=False)
        return JSONResponse({"sealed": pairing.proof(held, sealed, _host(request))})

    async def finish(request: Request) -> Response:
        session, sealed = await said(request, LARGE)
        held = door().session(session, proved=True)
        return JSONResponse({"sealed": pairing.finish(held, sealed, _host(request))})

    async def said(request: Request, limit: int) -> tuple[str, str]:
        body = await web.read_json(request, limit=limit + 1000)
        fields.only(body, {"session", "sealed"})
        return (
            fields.text(body, "session", longest=100),
            fields.text(body, "sealed", longest=limit),
        )

    return web.application(
        [
            Route("/pair/hello", hello, methods=["POST"]),
            Route("/pair/proof", proof, methods=["POST"]),
            Route("/pair/finish", finish, methods=["POST"]),
        ]
    )


def _host(request: Request) -> str:
    host = request.client.host if request.client else ""
    return host.removeprefix("::ffff:")
