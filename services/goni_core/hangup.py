"""Work that ends when its client goes away: nobody computes for a closed connection.

Needs the request's body to be read already: what comes next from the server is the hang-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

T = TypeVar("T")
READ_S = 60.0
"""Seconds that a client may leave a piece of its answer unread."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """``work``'s result; it is cancelled, and :class:`ClientDisconnect` raised, when the client
    hangs up first.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        await _cancel(leaving)
        await _cancel(working)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


class Watched(Response, ABC):
    """A response whose :meth:`body_to` is sent as it comes. ``close`` is awaited in any case, at
    once when the client hangs up, and soon when it stops reading.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        close: Callable[[], Awaitable[None]],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status_code=status)
        del self.headers["content-length"]
        self.headers.update(headers or {})
        self._close = close
        self.unread_since = math.inf
        """Since when (monotonic) the client has left something unread."""

    @abstractmethod
    async def body_to(self, scope: Scope, send: Send) -> None:
        """Send the body, all but its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Closed here and not in the body, which may never get to its first line.
        try:
            with contextlib.suppress(ClientDisconnect):
                await unless_gone(lambda: self._left(receive), self._send(scope, send))
        finally:
            await self._close()

    async def _send(self, scope: Scope, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        await self.body_to(scope, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _left(self, receive: Receive) -> Message:
        """What comes next from the server, or a hang-up once a block was left unread for
        :data:`READ_S`: looked at now and then, as a timer for each block would cost more than
        sending it.
        """
        coming = asyncio.ensure_future(receive())
        try:
            while time.monotonic() - self.unread_since < READ_S:
                await asyncio.wait({coming}, timeout=READ_S / 4)
                if coming.done():
                    return coming.result()
        finally:
            coming.cancel()
        return {"type": "http.disconnect"}


class Stream(Watched):
    """A body of ready-made blocks."""

    media_type = "application/octet-stream"

    def __init__(
        self,
        blocks: AsyncGenerator[bytes, None],
        close: Callable[[], Awaitable[None]],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(close, status=status, headers=headers)
        self._blocks = blocks

    async def body_to(self, scope: Scope, send: Send) -> None:
        async with contextlib.aclosing(self._blocks):
            async for block in self._blocks:
                self.unread_since = time.monotonic()
                await send({"type": "http.response.body", "body": block, "more_body": True})
                self.unread_since = math.inf


class EventStream(Stream):
    """A server-sent event stream of ready-made blocks."""

    media_type = "text/event-stream"
