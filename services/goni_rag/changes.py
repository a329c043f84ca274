"""Which files and folders may have changed and are still to be looked at.

Each waits until nothing more happens to it for a moment, so that a file that is being written is
looked at once, when it is done. Too many of them count as lost: then everything is looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from goni_rag.folders import Key

QUIET = 0.2
"""Seconds without news after which a file is looked at, if its writer has closed it."""
SETTLED = 2.0
"""The same while it may still be open."""
LONGEST = 1.0
"""Seconds that news may be held back by more news."""
MOST = 5_000


@dataclass(frozen=True)
class _News:
    first: float
    last: float
    closed: bool

    @property
    def due(self) -> float:
        if self.closed:
            return min(self.last + QUIET, self.first + LONGEST)
        return self.last + SETTLED


class Changes:
    """Collects news; :meth:`take` waits for some that are due."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._news: dict[Key, _News] = {}
        self._more = asyncio.Event()
        self.lost = False

    def add(self, key: Key, closed: bool = True) -> None:
        """Something happened at ``key``; ``closed``: nobody is writing there."""
        now = self._clock()
        known = self._news.get(key)
        self._news[key] = _News(known.first if known else now, now, closed)
        if len(self._news) > MOST:
            self.lose()
        self._more.set()

    def lose(self) -> None:
        """Something happened and nobody knows where."""
        self.lost = True
        self._news.clear()
        self._more.set()

    async def take(self) -> dict[Key, bool]:
        """What is due, and whether it is closed, waiting until something is; everything is when
        :attr:`lost` is set, which is for the caller to clear.
        """
        while True:
            self._more.clear()
            now = self._clock()
            due = self._due(now)
            if due or self.lost:
                for key in due:
                    del self._news[key]
                return due
            wait = min((news.due for news in self._news.values()), default=None)
            try:
                async with asyncio.timeout(None if wait is None else max(0.01, wait - now)):
                    await self._more.wait()
            except TimeoutError:
                continue

    def _due(self, now: float) -> dict[Key, bool]:
        """What is due. With the first closed one all closed ones are: where a file went and where
        it came from are news of one moment, and must never be looked at apart.
        """
        ready = any(news.closed and news.due <= now for news in self._news.values())
        return {
            key: news.closed
            for key, news in self._news.items()
            if (ready if news.closed else news.due <= now)
        }
