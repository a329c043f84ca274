"""Notices a llama-server that hangs: by its tokens, since a hung one is still a running process.

Its metrics are asked for every :data:`POLL_S`. llama-server answers them in the midst of computing
too, so that two things tell a hang:

- no answer for :data:`SILENT_S`, and no CPU time used lately either (stopped, deadlocked; an
  overloaded machine gives it some);
- answers, requests that run, and no counter that moves for longer than the slowest step takes. A
  picture is read in one step that moves none, so that one gets :data:`MOST_S`; any other step is a
  batch of at most ``plan.BATCH`` tokens, so a long prompt on a slow CPU moves a counter
  many times; how long one may take follows from the speed seen at load.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from goni_core import http
from goni_core.errors import GoniError
from goni_engine import figures
from goni_engine.figures import Figures
from goni_engine.llama_server import LlamaServer

log = logging.getLogger(__name__)

POLL_S = 1.0
ANSWER_S = 3.0
"""Seconds that one look at the metrics may take."""
SILENT_S, IDLE_S = 10.0, 5.0
"""Seconds without an answer, and without CPU time, of a process that hangs."""
DEAF_S = 120.0
"""Seconds without an answer of a process that does use the CPU."""
LEAST_S, MOST_S = 60.0, 900.0
"""Bounds of the time without progress that :func:`patience` allows. On two overloaded cores, 3 s
per token of a toy were seen.
"""
SLACK = 10.0


def patience(batch: int, tokens_per_s: float) -> float:
    """Seconds that a step of ``batch`` tokens may take: ten times as long as at ``tokens_per_s``;
    0 means that the speed isn't known.
    """
    expected = SLACK * batch / tokens_per_s if tokens_per_s > 0 else MOST_S
    return min(max(expected, LEAST_S), MOST_S)


class Watchdog:
    """Looks after one server until it ends; calls ``ended`` then, and when it is to be ended."""

    def __init__(
        self, model: str, server: LlamaServer, patience_s: float, ended: Callable[[], None]
    ) -> None:
        self._model = model
        self._server = server
        self._patience = patience_s
        self._ended = ended
        self._before = self._before_reading = figures.NOTHING
        self._heard = self._moved = self._worked = time.monotonic()
        self._cpu = server.cpu_s
        self.figures = figures.NOTHING
        self.speed = self.reading_speed = 0.0
        self.hung = False
        self._with_pictures = 0
        self._reading = False

    @contextlib.contextmanager
    def reading(self, pictures: int) -> Iterator[None]:
        """The length of a request with that many pictures. They may be read until a counter moves,
        even when their asker has gone.
        """
        if not pictures:
            yield
            return
        self._with_pictures += 1
        self._reading = True
        try:
            yield
        finally:
            self._with_pictures -= 1

    async def run(self) -> None:
        """Look until the server has ended, by itself or because it hung."""
        while not await self._server.ended(within=POLL_S):
            await self._look()
            reason = self._verdict(time.monotonic())
            if reason:
                self.hung = True
                # First of all, or who waits gets the slot of who is told, on a server that dies.
                self._ended()
                log.error("llama-server for %s hangs (%s): ending it", self._model, reason)
                await self._server.kill()
        self._ended()

    async def _look(self) -> None:
        try:
            page = await self._server.service.text("/metrics", timeout=http.Timeout(ANSWER_S))
            seen = figures.parse(page)
        except GoniError:
            return
        self._note(seen, time.monotonic())

    def _note(self, seen: Figures, now: float) -> None:
        if seen.moved(self.figures) or not seen.running:
            self._moved = now
            self._reading = self._with_pictures > 0
        self._heard = now
        self.figures = seen
        self._measure(seen)

    def _measure(self, seen: Figures) -> None:
        speed = seen.speed_since(self._before)
        if speed is not None:
            self.speed, self._before = speed, seen
        reading = seen.reading_speed_since(self._before_reading)
        if reading is not None:
            self.reading_speed, self._before_reading = reading, seen

    def _verdict(self, now: float) -> str:
        cpu_s = self._server.cpu_s
        if cpu_s != self._cpu:
            self._cpu, self._worked = cpu_s, now
        silent, idle = now - self._heard, now - self._worked
        if silent > DEAF_S or (silent > SILENT_S and idle > IDLE_S):
            return f"no answer for {silent:.0f} s"
        still = now - self._moved
        if still > (MOST_S if self._reading else self._patience):
            return f"no token for {still:.0f} s"
        return ""
