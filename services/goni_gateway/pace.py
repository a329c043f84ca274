"""How fast a download goes: measured over the last seconds, and held under a limit."""

from __future__ import annotations

import asyncio
import time
from collections import deque

WINDOW_S = 5.0
SLOWEST = 64 << 10
"""Bytes per second below which no limit makes sense: about one block of the line's."""
LONGEST_S = 2.0
"""A wait ends here, so that a limit that was lifted counts soon."""


class Pace:
    """Bytes that passed. ``limit`` is in bytes per second, 0 for none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._due = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque()

    async def passed(self, size: int) -> None:
        """Count ``size`` bytes, and wait until the next may come."""
        now = time.monotonic()
        self._recent.append((now, size))
        if not self.limit:
            self._due = now
            return
        self._due = max(self._due, now) + size / self.limit
        await asyncio.sleep(min(self._due - now, LONGEST_S))

    def speed(self, now: float) -> float:
        """Bytes per second over the last :data:`WINDOW_S` seconds."""
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        return sum(size for _, size in self._recent) / max(0.5, now - self._recent[0][0])
