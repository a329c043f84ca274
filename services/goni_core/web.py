"""The HTTP side that every service shares: OpenAI's error shape and bounded request bodies.

https://platform.openai.com/docs/guides/error-codes gives the shape ``{"error": {"message", "type",
"code", "param"}}``; Goni adds ``hint``, what to do next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goni_core import fields
from goni_core.errors import BadInput, GoniError, TooLarge, TooMany

log = logging.getLogger(__name__)

JSON_LIMIT = 1 << 20
"""Bytes of a JSON body that a route takes unless it says otherwise."""
LINGER_S = 10.0


def error_body(error: GoniError) -> dict[str, object]:
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    body = {"message": error.message, "type": kind, "code": error.code, "param": None}
    if error.hint:
        body["hint"] = error.hint
    return {"error": body}


def error_response(error: GoniError) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooMany) else None
    return JSONResponse(error_body(error), status_code=error.status, headers=headers)


async def _on_goni_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GoniError)
    if error.status >= 500:
        # The route's handler, not the path: paths hold file names.
        handler = getattr(request.scope.get("endpoint"), "__name__", "?")
        log.warning("%s %s: %s", request.method, handler, error.code)
    return error_response(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    shaped = GoniError(
        error.detail, code="not_found" if error.status_code == 404 else "invalid_request"
    )
    shaped.status = error.status_code
    response = error_response(shaped)
    response.headers.update(error.headers or {})
    return response


async def _on_hangup(request: Request, error: Exception) -> Response:
    """The client went away in mid-upload; nobody reads this answer."""
    return error_response(BadInput("the request ended early", code="truncated"))


async def _on_bug(request: Request, error: Exception) -> Response:
    # Starlette re-raises after this, so that the traceback reaches the journal; the caller learns
    # no detail.
    return error_response(GoniError("an internal error; the node's log has the details"))


def application(
    routes: Sequence[BaseRoute],
    *,
    middleware: Sequence[Middleware] = (),
    lifespan: object = None,
) -> Starlette:
    """A Starlette application whose every error has OpenAI's shape."""
    return Starlette(
        routes=list(routes),
        middleware=[Middleware(_CloseAfterRefusal), *middleware],
        lifespan=lifespan,  # type: ignore[arg-type]  # typed by the caller
        exception_handlers={
            GoniError: _on_goni_error,
            HTTPException: _on_http_error,
            ClientDisconnect: _on_hangup,
            Exception: _on_bug,
        },
    )


class _CloseAfterRefusal:
    """Ends the connection of a refused upload whose body nobody read, so that nobody sends
    gigabytes to a closed door. It lingers for :data:`LINGER_S` first: a connection closed on a
    sender in full flow is reset, and the answer lost with it (RFC 9112, section 9.6).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _large(scope):
            await self.app(scope, receive, send)
            return
        unread, refused = True, False

        async def reading() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def answering(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                refused = unread and message["status"] >= 400
                if refused:
                    MutableHeaders(scope=message)["connection"] = "close"
            if refused and message["type"] == "http.response.body":
                await send({**message, "more_body": True})
                await _discard(reading, lambda: unread)
                message = {"type": "http.response.body"}
            await send(message)

        await self.app(scope, reading, answering)


async def _discard(receive: Receive, more: Callable[[], bool]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while more():
                await receive()


def _large(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or (content_length(headers) or 0) > JSON_LIMIT


async def read_body(request: Request, *, limit: int = JSON_LIMIT) -> bytes:
    """The request's whole body; :class:`TooLarge` over ``limit`` bytes."""
    announced = content_length(request.headers)
    if announced is not None and announced > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
    return bytes(body)


async def read_json(request: Request, *, limit: int = JSON_LIMIT) -> fields.Object:
    """The request's body as a JSON object of at most ``limit`` bytes."""
    return fields.parse(await read_body(request, limit=limit))


def content_length(headers: Mapping[str, str]) -> int | None:
    """The announced body size in bytes, when there is a usable one."""
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None
