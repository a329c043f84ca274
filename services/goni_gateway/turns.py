"""Whose turn it is at a model: one line per person, round robin between people, interactive before
background.

    join -> the request is prepared -> reached -> answered -> leave

A turn that has begun is never taken away. Background requests leave one slot alone where a model
has more than one, so that a person seldom waits for another's batch to end. Knows people by their
ids only and holds nothing of their requests.
"""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType

from goni_core.errors import TooMany

SLOTS = 4
"""Turns at once for a model whose engine doesn't say how many it takes."""
MOST_EACH = 64
MOST = 256
"""Requests that may wait for one model: of one person, and of all."""
WAIT_S = 600.0
"""Seconds that a request waits at most."""
LONGEST_RETRY_S = 60
PACE = 0.2
"""Weight of the latest turn in the mean that ``Retry-After`` is reckoned from."""

Clock = Callable[[], float]
Waited = Callable[[str, float], None]
"""Is told the model and how many seconds a request waited for its turn there."""


class Place:
    """A request's place in the line, and its turn once :meth:`reached` returns. Leaving, by
    :meth:`leave` or the end of a ``with`` block, gives up either, and may be done twice.
    """

    def __init__(self, turns: Turns, person: str, background: bool, joined: float) -> None:
        self.person = person
        self.background = background
        self.joined = joined
        self.began: float | None = None
        self._turns = turns
        self._due = asyncio.Event()

    async def reached(self) -> None:
        """Wait for the turn; :class:`TooMany` after :data:`WAIT_S`."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._due.wait()
        except TimeoutError as error:
            raise self._turns.full() from error

    def begin(self, now: float) -> None:
        self.began = now
        self._due.set()

    def leave(self) -> None:
        self._turns.leave(self)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()


class Turns:
    """The turns at one model, ``slots`` at once; ``clock`` gives seconds that only grow, and
    ``waited`` is told how long each turn was waited for.
    """

    def __init__(
        self,
        slots: int = SLOTS,
        clock: Clock = time.monotonic,
        waited: Callable[[float], None] | None = None,
    ) -> None:
        self.slots = slots
        self._clock = clock
        self._waited = waited
        # In each, the person at the front is the next; lines are never empty.
        self._interactive: OrderedDict[str, deque[Place]] = OrderedDict()
        self._background: OrderedDict[str, deque[Place]] = OrderedDict()
        self._running: set[Place] = set()
        self._seconds = 0.0

    @property
    def waiting(self) -> int:
        return sum(map(len, (*self._interactive.values(), *self._background.values())))

    @property
    def running(self) -> int:
        return len(self._running)

    def join(self, person: str, *, background: bool = False) -> Place:
        """A place at the end of the person's line; :class:`TooMany` when that, or the model's
        whole line, is full.
        """
        lines = self._lines(background)
        own = sum(len(each.get(person, ())) for each in (self._interactive, self._background))
        if own >= MOST_EACH or self.waiting >= MOST:
            raise self.full()
        place = Place(self, person, background, self._clock())
        lines.setdefault(person, deque()).append(place)
        self._advance()
        return place

    def leave(self, place: Place) -> None:
        """Take ``place`` out of the line, or end its turn and begin the next."""
        if place in self._running:
            self._running.remove(place)
            assert place.began is not None
            took = self._clock() - place.began
            self._seconds += PACE * (took - self._seconds) if self._seconds else took
            self._advance()
        elif place.began is None:
            self._forget(place)

    def full(self) -> TooMany:
        """The refusal, with an estimate of when the line has moved."""
        left = math.ceil(self.waiting * self._seconds / self.slots)
        wait = max(1, min(left, LONGEST_RETRY_S))
        return TooMany(
            "too many requests are waiting for this model",
            retry_after=wait,
            hint=f"try again in {wait} seconds",
            code="queue_full",
        )

    def _lines(self, background: bool) -> OrderedDict[str, deque[Place]]:
        return self._background if background else self._interactive

    def _advance(self) -> None:
        while (place := self._next()) is not None:
            self._running.add(place)
            place.begin(now := self._clock())
            if self._waited is not None:
                self._waited(now - place.joined)

    def _next(self) -> Place | None:
        """Take the next place out of the lines, if there is one and room for it."""
        if len(self._running) >= self.slots:
            return None
        batches = sum(place.background for place in self._running)
        room = self._interactive or batches < max(1, self.slots - 1)
        lines = self._interactive or self._background
        if not (lines and room):
            return None
        person, line = next(iter(lines.items()))
        place = line.popleft()
        lines.move_to_end(person)
        if not line:
            del lines[person]
        return place

    def _forget(self, place: Place) -> None:
        lines = self._lines(place.background)
        line = lines.get(place.person)
        if line and place in line:
            line.remove(place)
            if not line:
                del lines[place.person]


class Lines:
    """The turns of every model, by its name: names of models that exist only."""

    def __init__(self, waited: Waited | None = None) -> None:
        self._waited = waited
        self._turns: dict[str, Turns] = {}

    def at(self, model: str, slots: int = 0) -> Turns:
        """The turns at ``model``; ``slots`` is what its engine says now (0: it doesn't)."""
        if model not in self._turns:
            told = functools.partial(self._waited, model) if self._waited else None
            self._turns[model] = Turns(waited=told)
        turns = self._turns[model]
        turns.slots = slots or turns.slots
        return turns

    def all(self) -> dict[str, Turns]:
        return dict(self._turns)
