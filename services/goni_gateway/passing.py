"""A streamed answer on its way from the engine to the client: its events pass unread but for the
first, which gets what goes back beside the answer, those that the metrics want, and the one that
ends an answer which was given sources: it gets what the claims stand on.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from starlette.types import Scope, Send

from goni_core import outlet, web
from goni_core.contract import Source
from goni_core.errors import GoniError
from goni_core.hangup import Watched
from goni_core.http import Sink
from goni_core.outlet import Outlet
from goni_gateway import citations, sse
from goni_gateway.metrics import Meter

LONGEST_STREAM = 8 << 20
"""Bytes of a streamed answer that are kept until its end, for its citations."""
FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
"""In the chunk that ends an answer; in its text the quotes would be escaped."""


class Passing:
    """One answer. The first event, which in OpenAI's streams only says who speaks, carries
    ``goni``, if that is given; with ``sources`` the last one of the answer itself carries its
    citations.
    """

    def __init__(
        self, meter: Meter, goni: dict[str, Any] | None = None, sources: Sequence[Source] = ()
    ) -> None:
        self._meter = meter
        self._goni = goni
        self._sources = list(sources)
        self._said: list[bytes] = []
        self._room = LONGEST_STREAM if sources else 0
        self._waiting = b""

    def take(self, block: bytes) -> bytes:
        """What can go out once ``block`` has come: whole events. :class:`GoniError` when one is too
        long.
        """
        ready, self._waiting = sse.whole(self._waiting + block if self._waiting else block)
        if len(self._waiting) > sse.LONGEST:
            raise GoniError("the engine sent an event that is too long")
        return self._passed(ready) if ready else b""

    def rest(self) -> bytes:
        """What is left at the end: an event may lack its own."""
        ready, self._waiting = self._waiting, b""
        return self._passed(ready) if ready else b""

    def broken(self, error: GoniError) -> bytes:
        """The end of an answer that breaks off: an error event, which OpenAI's clients raise."""
        return self.rest() + sse.event(sse.dumped(web.error_body(error)))

    def _passed(self, ready: bytes) -> bytes:
        self._meter.block(ready)
        if self._goni is not None and (introduced := _introduced(ready, self._goni)):
            self._goni = None
            ready = introduced
        return self._cited(ready) if self._room > 0 else ready

    def _cited(self, ready: bytes) -> bytes:
        self._room -= len(ready)
        self._said.append(ready)
        if FINISHED.search(ready):
            self._room = 0
            ready = _with_citations(self._said, self._sources)
        if self._room <= 0:
            self._said.clear()
        return ready


class Poured(Protocol):
    """An answer that comes in."""

    async def pour(self, take: Callable[[bytes], None], into: Sink) -> None:
        """As :meth:`goni_core.http.Incoming.pour`."""


class Passed(Watched):
    """The answer that comes in, sent as ``passing`` lets it through, by the short way."""

    def __init__(
        self, incoming: Poured, passing: Passing, close: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(close)
        self._incoming = incoming
        self._passing = passing
        self._out: Outlet | None = None

    async def body_to(self, scope: Scope, send: Send) -> None:
        out = self._out = outlet.of(scope)
        take, write = self._passing.take, out.write
        try:
            await self._incoming.pour(lambda block: write(take(block)), self)
            write(self._passing.rest())
        except GoniError as error:
            write(self._passing.broken(error))

    @property
    def full(self) -> bool:
        return self._out is not None and self._out.full

    async def drain(self) -> None:
        assert self._out is not None
        self.unread_since = time.monotonic()
        await self._out.drain()
        self.unread_since = math.inf


def _with_citations(said: list[bytes], sources: list[Source]) -> bytes:
    """The last of the blocks ``said``, with the citations of all their text in the chunk that ends
    the answer.
    """
    text = "".join(sse.delta_of(sse.parsed(data)) for block in said for data in sse.events(block))
    passed = sse.events(said[-1])
    for place, data in enumerate(passed):
        if FINISHED.search(data):
            chunk = sse.parsed(data)
            goni = {**(chunk.get("goni") or {}), "citations": citations.of(text, sources)}
            passed[place] = sse.dumped({**chunk, "goni": goni})
            break
    return b"".join(map(sse.event, passed))


def _introduced(block: bytes, goni: dict[str, Any]) -> bytes | None:
    """``block`` with ``goni`` in its first chunk, and with one put before it when that has text
    already; None when there is no chunk in it.
    """
    passed = sse.events(block)
    for place, data in enumerate(passed):
        chunk = sse.parsed(data)
        if "choices" not in chunk:
            continue
        first = {**chunk, "goni": goni}
        if sse.delta_of(chunk):
            first["choices"] = [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]
            passed.insert(place, sse.dumped(first))
        else:
            passed[place] = sse.dumped(first)
        return b"".join(map(sse.event, passed))
    return None
