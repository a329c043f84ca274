"""The outermost layer of the web listener: an id and the security headers on every response,
errors and all, and one log line for each request that isn't a plain read.
"""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goni_gateway import request_id

log = logging.getLogger(__name__)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
# No Strict-Transport-Security: the household's own CA may not be trusted yet, and a browser that
# was told to insist could not get past that.
READS = ("GET", "HEAD", "OPTIONS", "PROPFIND")
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Edge:
    """``app`` with an ``X-Request-Id`` and :data:`HEADERS` on whatever it answers; nothing is kept
    by caches unless ``app`` says so.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = request_id.begin(Headers(scope=scope).get(request_id.HEADER))
        began, status = time.monotonic(), 0

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers[request_id.HEADER] = given
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, answering)
        finally:
            if scope["method"] not in READS or status >= 500:
                _log(scope, status, time.monotonic() - began)


def _log(scope: Scope, status: int, seconds: float) -> None:
    # The route's handler, not the path: paths hold file names.
    handler = getattr(scope.get("endpoint"), "__name__", "?")
    log.info("%s %s: %s in %.3f s", scope["method"], handler, status or "hung up", seconds)
