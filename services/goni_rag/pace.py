"""How the work that nobody waits for goes on: behind those who search, and how fast it is."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from goni_rag.folders import Key

MEMORY = 200
"""Documents that the rate is taken from."""
RECENT = 120.0
"""Seconds after which they no longer say anything about it."""


class Pace:
    """Documents being read right now, how many were lately, and whether somebody is searching.

    ``trouble`` says what keeps it all from going on, ``unseen`` that some folders aren't watched.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._done: deque[float] = deque(maxlen=MEMORY)
        self._reading: dict[Key, float] = {}
        self._searches = 0
        self._free = asyncio.Event()
        self._free.set()
        self.trouble = ""
        self.unseen = False

    @contextmanager
    def in_front(self) -> Iterator[None]:
        """Somebody waits for what the block does."""
        self._searches += 1
        self._free.clear()
        try:
            yield
        finally:
            self._searches -= 1
            if not self._searches:
                self._free.set()

    async def step_back(self) -> None:
        """Wait while somebody is :meth:`in_front`; before each piece of work."""
        await self._free.wait()

    @contextmanager
    def reading(self, key: Key) -> Iterator[None]:
        """The document ``key`` is read in the block."""
        self._reading[key] = self._clock()
        try:
            yield
        finally:
            del self._reading[key]
            self._done.append(self._clock())

    def current(self) -> list[Key]:
        """What is being read, the longest first."""
        return sorted(self._reading, key=self._reading.__getitem__)

    def per_minute(self) -> float:
        """Documents read in a minute, as it went lately; 0 when nothing was."""
        now = self._clock()
        recent = [done for done in self._done if now - done < RECENT]
        if not recent:
            return 0.0
        return 60.0 * len(recent) / max(1.0, now - min(recent))

    def seconds_for(self, documents: int) -> int | None:
        """About how long as many will take; None when nobody knows."""
        rate = self.per_minute()
        return round(60 * documents / rate) if rate else None
