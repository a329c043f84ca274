"""The short way out for answers that are passed on as they come: from the reading of one connection
straight to the writing of another, in one callback of the event loop.

ASGI's ``send`` is a coroutine, so that every token of an answer would wake a task and walk through
all layers of the application twice. That takes twice the time, and ten times as much where a model
that computes on all cores has pushed the code out of the caches.
"""

from __future__ import annotations

from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send

KEY = "goni.outlet"


class Outlet:
    """The body of one response, once its start was sent and until its end is."""

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle

    def write(self, block: bytes) -> None:
        """Send ``block``, or nothing when the client has gone."""
        cycle = self._cycle
        if block and not cycle.disconnected:
            cycle.transport.write(cycle.conn.send(h11.Data(data=block)))

    @property
    def full(self) -> bool:
        """Whether the client leaves so much unread that no more should be written."""
        return bool(self._cycle.flow.write_paused) and not self._cycle.disconnected

    async def drain(self) -> None:
        """Wait until it is not :attr:`full`."""
        if self.full:
            await self._cycle.flow.drain()


class Outlets:
    """``app``, whose responses can be written past it (:func:`of`)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # uvicorn's own end of the response: its RequestResponseCycle.
            scope[KEY] = Outlet(send.__self__)  # type: ignore[attr-defined]  # a bound method
        await self.app(scope, receive, send)


def of(scope: Scope) -> Outlet:
    """The outlet of the response to the request in ``scope``."""
    outlet = scope[KEY]
    assert isinstance(outlet, Outlet)
    return outlet
