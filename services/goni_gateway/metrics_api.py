"""``GET /metrics``, for the owner: with a key, as Prometheus asks, or in the browser."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goni_core import fields
from goni_core.errors import GoniError
from goni_gateway import callers, gateway

MOST_MODELS = 1000


async def show(request: Request) -> Response:
    await callers.owner(request)
    gate = gateway.of(request)
    try:
        said = await gate.engine.call("GET", "/stats")
        stats = fields.objects(said, "models", most=MOST_MODELS)
    except GoniError:  # an engine that is down shows by its absence
        stats = []
    body = gate.metrics.text(gate.lines, stats)
    return Response(body, headers={"content-type": CONTENT_TYPE_LATEST})


ROUTES = [Route("/metrics", show, methods=["GET"])]
