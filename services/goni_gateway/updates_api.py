"""Updates under ``/api/updates``: what runs, what is offered, and what the owner wants done.

The update service decides and does all of it. Changes need the owner's own browser: no app restarts
the node with a key.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, http
from goni_gateway import bodies, callers, gateway


async def status(request: Request) -> Response:
    await callers.owner(request)
    return JSONResponse(await gateway.of(request).updates.call("GET", "/status"))


async def history(request: Request) -> Response:
    await callers.owner(request)
    return JSONResponse(await gateway.of(request).updates.call("GET", "/history"))


async def check(request: Request) -> Response:
    return await _passed_on(request, "/check", frozenset())


async def apply(request: Request) -> Response:
    return await _passed_on(request, "/apply", frozenset({"version", "now"}), status=202)


async def restart(request: Request) -> Response:
    return await _passed_on(request, "/restart", frozenset())


async def rollback(request: Request) -> Response:
    return await _passed_on(request, "/rollback", frozenset({"now"}))


async def settings(request: Request) -> Response:
    known = frozenset({"channel", "paused", "quiet_from", "quiet_until"})
    return await _passed_on(request, "/settings", known)


async def _passed_on(
    request: Request, path: str, known: frozenset[str], *, status: int = 200
) -> Response:
    """Ask the service; no folder of this node's is the page's to name."""
    await callers.signed_in_owner(request)
    body = await bodies.read_json(request)
    fields.only(body, known)
    updates = gateway.of(request).updates
    said = await updates.call("POST", path, json=body, timeout=http.ANSWER_TIMEOUT)
    return JSONResponse(said, status_code=status)


ROUTES = [
    Route("/api/updates", status, methods=["GET"]),
    Route("/api/updates/history", history, methods=["GET"]),
    Route("/api/updates/check", check, methods=["POST"]),
    Route("/api/updates/apply", apply, methods=["POST"]),
    Route("/api/updates/restart", restart, methods=["POST"]),
    Route("/api/updates/rollback", rollback, methods=["POST"]),
    Route("/api/updates/settings", settings, methods=["PUT"]),
]
