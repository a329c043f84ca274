"""Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol): answered for the
origins that the owner opened, below ``/v1`` only, and with a key only, for cookies are never asked
for. To all others this node says nothing that a browser would take for a yes.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goni_gateway import origins, request_id
from goni_gateway.gateway import Gateway

BELOW = "/v1/"
METHODS = "GET, POST, OPTIONS"
REMEMBERED_S = 600
"""Seconds that a browser may rely on an answer to its preflight."""


class Cors:
    """``app`` for the open origins too."""

    def __init__(self, app: ASGIApp, gate: Gateway) -> None:
        self.app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(BELOW):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        allowed = bool(origin) and await self._gate.database.do(origins.is_open, origin)

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = MutableHeaders(scope=message)
                said.add_vary_header("Origin")
                if allowed:
                    said["access-control-allow-origin"] = origin
                    said["access-control-expose-headers"] = f"{request_id.HEADER}, retry-after"
                    said["cross-origin-resource-policy"] = "cross-origin"
            await send(message)

        if allowed and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(headers)(scope, receive, answering)
        else:
            await self.app(scope, receive, answering)


def _preflight(headers: Headers) -> Response:
    """What an open origin may send: OpenAI's clients bring headers of their own, so any."""
    said = {
        "access-control-allow-methods": METHODS,
        "access-control-max-age": str(REMEMBERED_S),
        "access-control-allow-headers": headers.get("access-control-request-headers", ""),
    }
    # A page from the internet asks for something in the house:
    # https://wicg.github.io/private-network-access/
    if headers.get("access-control-request-private-network") == "true":
        said["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=said)
