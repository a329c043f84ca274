"""WebDAV's write locks (RFC 4918, section 6), and the conditions of the header If (10.4).

Kept in memory: a lock is a courtesy between programs for minutes, and after a restart of the node
they ask for a new one.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from goni_core.errors import BadInput, GoniError

MOST = 5_000
LONGEST_S = 3600
USUAL_S = 600

Key = tuple[str, str]
"""Owner and path."""

_LIST = re.compile(r"(?:<([^>]*)>\s*)?\(([^)]*)\)\s*")
_CONDITION = re.compile(r"(not\s+)?(?:<([^>]*)>|\[([^\]]*)\])\s*", re.IGNORECASE)


class Locked(GoniError):
    """Somebody else's program is writing there (423)."""

    status = 423
    code = "locked"


class PreconditionFailed(GoniError):
    """A condition of the request doesn't hold (412)."""

    status = 412
    code = "precondition_failed"


@dataclass(frozen=True)
class Lock:
    """``person`` may write at ``key`` (and below it, if ``deep``) with ``token``. ``owner`` is the
    client's own note, as XML; ``expires`` is on the clock of :class:`Locks`.
    """

    token: str
    key: Key
    person: str
    owner: str
    deep: bool
    exclusive: bool
    seconds: int
    expires: float

    def covers(self, key: Key) -> bool:
        return self.key == key or (self.deep and is_below(key, self.key))


@dataclass(frozen=True)
class Condition:
    """A state token or an ETag that has to be there, or not."""

    wanted: bool
    token: str
    tag: str


@dataclass(frozen=True)
class Clause:
    """Conditions that hold together, of the resource at ``href`` ("" is the request's)."""

    href: str
    conditions: tuple[Condition, ...]


class Locks:
    """All locks of this node."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._locks: dict[str, Lock] = {}

    def of(self, key: Key) -> list[Lock]:
        """Those that cover ``key``."""
        return [lock for lock in self._alive() if lock.covers(key)]

    def add(
        self, key: Key, person: str, owner: str, *, deep: bool, exclusive: bool, seconds: int
    ) -> Lock:
        """A new lock; :class:`Locked` when another one is in its way."""
        alive = self._alive()
        in_the_way = [
            lock
            for lock in alive
            if (lock.covers(key) or (deep and is_below(lock.key, key)))
            and (exclusive or lock.exclusive)
        ]
        if in_the_way or len(alive) >= MOST:
            raise Locked("somebody is writing there")
        token = uuid.uuid4().urn
        expires = self._clock() + seconds
        lock = Lock(token, key, person, owner, deep, exclusive, seconds, expires)
        self._locks[token] = lock
        return lock

    def refresh(self, key: Key, person: str, tokens: Iterable[str], seconds: int) -> Lock:
        """One of ``tokens``' lock for longer; :class:`PreconditionFailed` when none is there."""
        for lock in self.of(key):
            if lock.token in tokens and lock.person == person:
                again = replace(lock, seconds=seconds, expires=self._clock() + seconds)
                self._locks[lock.token] = again
                return again
        raise PreconditionFailed("there is no such lock")

    def remove(self, key: Key, person: str, token: str) -> None:
        """Give a lock up."""
        lock = self._locks.get(token)
        if lock is None or not lock.covers(key) or lock.person != person:
            raise NotLocked("there is no such lock there")
        del self._locks[token]

    def drop(self, key: Key) -> None:
        """What was locked there is gone."""
        for lock in self._alive():
            if lock.key == key or is_below(lock.key, key):
                del self._locks[lock.token]

    def check(self, key: Key, person: str, tokens: Iterable[str], *, deep: bool = False) -> None:
        """Raise :class:`Locked` unless ``person`` may write at ``key`` (and all below it)."""
        there = [
            lock for lock in self._alive() if lock.covers(key) or (deep and is_below(lock.key, key))
        ]
        held = {lock.token for lock in there if lock.person == person} & set(tokens)
        shared = [lock for lock in there if not lock.exclusive]
        if any(lock.exclusive and lock.token not in held for lock in there):
            raise Locked("somebody is writing there", hint="try again later")
        if shared and not any(lock.token in held for lock in shared):
            raise Locked("somebody is writing there", hint="try again later")

    def _alive(self) -> list[Lock]:
        now = self._clock()
        for token in [token for token, lock in self._locks.items() if lock.expires <= now]:
            del self._locks[token]
        return list(self._locks.values())


class NotLocked(GoniError):
    """A token that locks nothing there (RFC 4918, 9.11.1: 409)."""

    status = 409
    code = "not_locked"


def clauses(header: str) -> list[Clause]:
    """The lists of an If header; any of them has to hold. :class:`BadInput` when it isn't one."""
    found, at, href = [], 0, ""
    header = header.strip()
    while at < len(header):
        part = _LIST.match(header, at)
        if part is None:
            raise BadInput("the If header is not understood", code="bad_if")
        href = part[1] if part[1] is not None else href
        found.append(Clause(href, _conditions(part[2])))
        at = part.end()
    return found


def _conditions(text: str) -> tuple[Condition, ...]:
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        part = _CONDITION.match(text, at)
        if part is None:
            raise BadInput("the If header is not understood", code="bad_if")
        found.append(Condition(not part[1], part[2] or "", (part[3] or "").strip().strip('"')))
        at = part.end()
    if not found:
        raise BadInput("the If header has an empty list", code="bad_if")
    return tuple(found)


def tokens_in(found: Iterable[Clause]) -> set[str]:
    """Every state token that a request brings along."""
    return {each.token for clause in found for each in clause.conditions if each.token}


def seconds_of(header: str) -> int:
    """How long a Timeout header wants, within bounds."""
    for part in header.split(","):
        kind, _, number = part.strip().partition("-")
        if kind.lower() == "second" and number.isascii() and number.isdigit():
            return max(1, min(int(number[:9]), LONGEST_S))
        if kind.lower() == "infinite":
            return LONGEST_S
    return USUAL_S


def is_below(key: Key, above: Key) -> bool:
    return (
        key[0] == above[0] and key != above and (not above[1] or key[1].startswith(above[1] + "/"))
    )
