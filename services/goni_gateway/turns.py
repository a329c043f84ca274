"""Whose turn it is at a model: one line per person, round robin between people, interactive before
background.

    join -> the request is prepared -> reached -> answered -> leave

Where several nodes have the model, ``planner`` says which node each request waits for; nobody waits
for one while another of the line could start there. A turn that has begun is never taken away.
Background requests leave one slot alone where a model has more than one, so that a person seldom
waits for another's batch to end. Knows people by their ids only and holds nothing of their
requests.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from goni_core.errors import TooMany
from goni_gateway import planner
from goni_gateway.planner import USUAL, Job, Node
from goni_gateway.warmth import Told

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


@dataclass(frozen=True)
class Station:
    """A node as others use it: its speeds, its ``slots``, how many of them ``others`` than this
    gateway take, and how many of the others' requests wait there. ``slots`` is 0 before its engine
    says how many there are.
    """

    node: Node = Node()  # noqa: RUF009 - frozen
    slots: int = 0
    others: int = 0

    @property
    def room(self) -> int:
        return self.slots or SLOTS


class Place:
    """A request's place in the line, and its turn once :meth:`reached` returns, at ``node``;
    ``ends`` is when that turn is likely to end, ``told`` the conversation. Leaving, by
    :meth:`leave` or the end of a ``with`` block, gives up either, and may be done twice.
    """

    def __init__(
        self, turns: Turns, person: str, background: bool, joined: float, job: Job = USUAL
    ) -> None:
        self.person = person
        self.job = job
        self.told: Told | None = None
        self.node = ""
        self.ends = 0.0
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

    def begin(self, now: float, node: str, took: float) -> None:
        """The turn is now, at ``node``, where it is expected to take ``took`` seconds."""
        self.began, self.node, self.ends = now, node, now + took
        self._due.set()

    def move(self, node: str) -> None:
        """Its turn goes on at another node."""
        self.node = node

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
    """The turns at one model, ``slots`` at once at ``stations``; ``clock`` gives seconds that only
    grow, and ``waited`` is told how long each turn was waited for.
    """

    def __init__(
        self,
        slots: int = SLOTS,
        clock: Clock = time.monotonic,
        waited: Callable[[float], None] | None = None,
    ) -> None:
        self.stations: Sequence[Station] = (Station(slots=slots),)
        self._clock = clock
        self._waited = waited
        # In each, the person at the front is the next; lines are never empty.
        self._interactive: OrderedDict[str, deque[Place]] = OrderedDict()
        self._background: OrderedDict[str, deque[Place]] = OrderedDict()
        self._running: set[Place] = set()
        self._seconds = 0.0

    @property
    def slots(self) -> int:
        return sum(one.room for one in self.stations)

    @property
    def waiting(self) -> int:
        return sum(map(len, (*self._interactive.values(), *self._background.values())))

    @property
    def running(self) -> int:
        return len(self._running)

    def join(self, person: str, *, background: bool = False, job: Job = USUAL) -> Place:
        """A place at the end of the person's line; :class:`TooMany` when that, or the model's
        whole line, is full.
        """
        lines = self._lines(background)
        own = sum(len(each.get(person, ())) for each in (self._interactive, self._background))
        if own >= MOST_EACH or self.waiting >= MOST:
            raise self.full()
        place = Place(self, person, background, self._clock(), job)
        lines.setdefault(person, deque()).append(place)
        self.advance()
        return place

    def leave(self, place: Place) -> None:
        """Take ``place`` out of the line, or end its turn and begin the next."""
        if place in self._running:
            self._running.remove(place)
            assert place.began is not None
            took = self._clock() - place.began
            self._seconds += PACE * (took - self._seconds) if self._seconds else took
            self.advance()
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

    def advance(self) -> None:
        """Begin every turn that can begin."""
        while (next_ := self._next()) is not None:
            place, node = next_
            self._running.add(place)
            took = next(
                (
                    planner.seconds(place.job, one.node).end
                    for one in self.stations
                    if one.node.id == node
                ),
                0.0,
            )
            place.begin(now := self._clock(), node, took)
            if self._waited is not None:
                self._waited(now - place.joined)

    def _next(self) -> tuple[Place, str] | None:
        """Take the next place out of the lines, if there is one and room for it; and where."""
        if len(self._running) >= self.slots:
            return None
        batches = sum(place.background for place in self._running)
        room = self._interactive or batches < max(1, self.slots - 1)
        lines = self._interactive or self._background
        if not (lines and room):
            return None
        inline = _fair(lines)
        nodes, open_ = self._nodes()
        found = planner.next_start([place.job for place in inline], nodes, open_)
        if found is None:
            return None
        place = inline[found[0]]
        line = lines[place.person]
        line.remove(place)
        lines.move_to_end(place.person)
        if not line:
            del lines[place.person]
        return place, found[1]

    def _nodes(self) -> tuple[list[Node], frozenset[str]]:
        """Every node as it is now, and those at which a turn can begin."""
        now = self._clock()
        nodes, open_ = [], set()
        for one in self.stations:
            own = [place.ends - now for place in self._running if place.node == one.node.id]
            # What is overdue by a second is expected to take another one.
            busy = [abs(left) for left in own]
            if len(busy) < one.room:
                open_.add(one.node.id)
            others = min(max(0, one.others - len(busy)), max(0, one.room - len(busy)))
            busy += [planner.seconds(USUAL, one.node).end / 2] * others
            free = (*busy, *[0.0] * max(0, one.room - len(busy)))
            nodes.append(replace(one.node, free=free))
        return nodes, frozenset(open_)

    def _forget(self, place: Place) -> None:
        lines = self._lines(place.background)
        line = lines.get(place.person)
        if line and place in line:
            line.remove(place)
            if not line:
                del lines[place.person]


def _fair(lines: OrderedDict[str, deque[Place]]) -> list[Place]:
    """Everybody's first place, then everybody's second, and so on; as many as are planned."""
    rounds = itertools.zip_longest(
        *(itertools.islice(line, planner.HORIZON) for line in lines.values())
    )
    return [place for each in rounds for place in each if place is not None][: planner.HORIZON]


class Lines:
    """The turns of every model, by its name: names of models that exist only."""

    def __init__(self, waited: Waited | None = None) -> None:
        self._waited = waited
        self._turns: dict[str, Turns] = {}

    def at(self, model: str, stations: Sequence[Station] = ()) -> Turns:
        """The turns at ``model``, which ``stations`` have now; what doesn't say how many slots it
        has keeps those that it had.
        """
        if model not in self._turns:
            told = functools.partial(self._waited, model) if self._waited else None
            self._turns[model] = Turns(waited=told)
        turns = self._turns[model]
        if stations:
            before = {one.node.id: one.slots for one in turns.stations}
            turns.stations = [
                replace(one, slots=one.slots or before.get(one.node.id, 0)) for one in stations
            ]
        return turns

    def all(self) -> dict[str, Turns]:
        return dict(self._turns)
