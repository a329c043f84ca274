"""Models under ``/api``: uploads go straight through to the engine, which keeps them; nothing is
stored on the way. They are the node's, so only the owner changes them.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import contract, files
from goni_gateway import callers, gateway, passage


async def list_models(request: Request) -> Response:
    await callers.person(request)
    entries = await gateway.of(request).models.everywhere()
    return JSONResponse({"models": [entry["goni"] for entry in entries if "goni" in entry]})


async def add_model(request: Request) -> Response:
    await callers.owner(request)
    path = f"/models/{_name(request)}"
    engine = gateway.of(request).engine
    return await passage.upload(request, engine, path, {}, contract.MODEL_LIMIT)


async def remove_model(request: Request) -> Response:
    await callers.owner(request)
    await gateway.of(request).engine.call("DELETE", f"/models/{_name(request)}")
    return JSONResponse({"deleted": True})


def _name(request: Request) -> str:
    """The name in the path, safe as one path segment again."""
    return quote(files.safe_name(request.path_params["name"]), safe="")


ROUTES = [
    Route("/api/models", list_models, methods=["GET"]),
    Route("/api/models/{name:path}", add_model, methods=["PUT"]),
    Route("/api/models/{name:path}", remove_model, methods=["DELETE"]),
]
