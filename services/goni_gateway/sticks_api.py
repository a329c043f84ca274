"""Sticks under ``/api/sticks``: the models on those that are plugged in, and bringing them in.

The owner's, as all changes to the node's models are.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields
from goni_gateway import bodies, callers, gateway
from goni_gateway.downloads_api import key_of


async def list_sticks(request: Request) -> Response:
    await callers.owner(request)
    return JSONResponse(await gateway.of(request).engine.call("GET", "/sticks"))


async def begin_import(request: Request) -> Response:
    await callers.owner(request)
    body = await bodies.read_json(request)
    fields.only(body, {"stick", "path"})
    asked = {name: fields.text(body, name, longest=1000) for name in ("stick", "path")}
    said = await gateway.of(request).engine.call("POST", "/sticks/imports", json=asked)
    return JSONResponse(said, status_code=202)


async def end_import(request: Request) -> Response:
    await callers.owner(request)
    path = f"/sticks/imports/{key_of(request)}"
    await gateway.of(request).engine.call("DELETE", path)
    return JSONResponse({"deleted": True})


ROUTES = [
    Route("/api/sticks", list_sticks, methods=["GET"]),
    Route("/api/sticks/imports", begin_import, methods=["POST"]),
    Route("/api/sticks/imports/{key}", end_import, methods=["DELETE"]),
]
