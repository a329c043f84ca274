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


async def update_status(request: Request) -> Response:
    await callers.owner(request)
    return JSONResponse(await gateway.of(request).updates.call("GET", "/status"))


async def update_history(request: Request) -> Response:
    await callers.owner(request)
    return JSONResponse(await gateway.of(request).updates.call("GET", "/history"))


async def look_for_updates(request: Request) -> Response:
    return await _passed_on(request, "/check", None)


async def install_update(request: Request) -> Response:
    return await _passed_on(request, "/apply", frozenset({"version", "now"}), status=202)


async def restart_updated(request: Request) -> Response:
    return await _passed_on(request, "/restart", None)


async def roll_back(request: Request) -> Response:
    return await _passed_on(request, "/rollback", frozenset({"now"}))


async def change_updates(request: Request) -> Response:
    known = frozenset({"channel", "paused", "quiet_from", "quiet_until"})
    return await _passed_on(request, "/settings", known)


async def _passed_on(
    request: Request, path: str, known: frozenset[str] | None, *, status: int = 200
) -> Response:
    """Ask the service, with the fields in ``known`` (None: there is no body); no folder of this
    node's is the page's to name.
    """
    await callers.signed_in_owner(request)
    body: fields.Object = {}
    if known is not None:
        body = await bodies.read_json(request)
        fields.only(body, known)
    updates = gateway.of(request).updates
    said = await updates.call("POST", path, json=body, timeout=http.ANSWER_TIMEOUT)
    return JSONResponse(said, status_code=status)


ROUTES = [
    Route("/api/updates", update_status, methods=["GET"]),
    Route("/api/updates/history", update_history, methods=["GET"]),
    Route("/api/updates/check", look_for_updates, methods=["POST"]),
    Route("/api/updates/apply", install_update, methods=["POST"]),
    Route("/api/updates/restart", restart_updated, methods=["POST"]),
    Route("/api/updates/rollback", roll_back, methods=["POST"]),
    Route("/api/updates/settings", change_updates, methods=["PUT"]),
]
