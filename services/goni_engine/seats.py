"""Who sits in which slot of a model: one queue, first come, first served.

llama-server keeps a slot's last conversation, so that the next turn of a chat need not be read
anew, and gives a newcomer the slot whose text is most like his. Between people that tells, by the
time to the first token, what somebody else has asked. So slots are given out here: what a slot
holds is used again only for the person it was read for; for everybody else it is read anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from goni_core.errors import Unavailable

NOT_MY_TURN = "engine_stopped"


class NotBegun(Unavailable):
    """The model went before anything of the request was begun: it may be sent again. The code is
    :data:`NOT_MY_TURN` when it wasn't even sent.
    """


@dataclass
class Seat:
    """One slot: for whom it was last used, and the marks of what it has read."""

    number: int
    person: str = ""
    marks: tuple[bytes, ...] = ()
    used: int = 0


@dataclass(frozen=True)
class Turn:
    """A slot for the length of a request. ``again`` is whether what the slot holds may be used."""

    slot: int
    again: bool


class Seats:
    """The slots of one loaded model."""

    def __init__(self, number: int) -> None:
        self._free = [Seat(place) for place in range(number)]
        self._queue: deque[asyncio.Future[None]] = deque()
        self._clock = count(1)
        self._closed = False
        self.slots = number

    @property
    def busy(self) -> int:
        return self.slots - len(self._free)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @contextlib.asynccontextmanager
    async def take(self, person: str, marks: tuple[bytes, ...]) -> AsyncIterator[Turn]:
        """Wait for a slot and keep it for the block. ``person`` is an opaque id, "" for nobody;
        ``marks`` are those of the conversation.

        Raises :class:`NotBegun` when the model is closed before it is this request's turn.
        """
        await self._wait()
        seat = max(self._free, key=lambda free: _likeness(free, person, marks))
        self._free.remove(seat)
        again = bool(person) and seat.person == person
        seat.person, seat.marks, seat.used = person, marks, next(self._clock)
        try:
            yield Turn(seat.number, again)
        finally:
            self._free.append(seat)
            self._wake()

    def close(self) -> None:
        """Send everybody away who waits."""
        self._closed = True
        for waiting in self._queue:
            if not waiting.done():
                waiting.set_exception(_gone())

    async def _wait(self) -> None:
        if self._closed:
            raise _gone()
        if self._free and not self._queue:
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        self._wake()
        try:
            await mine
        except asyncio.CancelledError:
            self._queue.remove(mine)
            self._wake()
            raise
        except NotBegun:
            self._queue.remove(mine)
            raise
        self._queue.remove(mine)

    def _wake(self) -> None:
        """Call as many as there are slots; those who were called and haven't come yet count."""
        called = sum(waiting.done() for waiting in self._queue)
        for waiting in self._queue:
            if called >= len(self._free):
                break
            if not waiting.done():
                waiting.set_result(None)
                called += 1


def marks_of(parts: Sequence[object]) -> tuple[bytes, ...]:
    """A short mark for each part of a conversation; nothing of the text can be read from it."""
    return tuple(hashlib.sha256(json.dumps(part).encode()).digest()[:8] for part in parts)


def _likeness(seat: Seat, person: str, marks: tuple[bytes, ...]) -> tuple[int, int]:
    """How good it is to use the seat again: its own person's longest common beginning, then
    nobody's or the one that was unused for longest.
    """
    common = 0
    if person and seat.person == person:
        pairs = zip(seat.marks, marks, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return common, -seat.used


def _gone() -> NotBegun:
    return NotBegun(
        "the engine stopped before it was this request's turn",
        hint="send the request again; the engine is started anew",
        code=NOT_MY_TURN,
    )
