"""Slows down guessing: five tries, then a wait that doubles each time.

Counted three ways: one account from one address (5 free tries), and, wider, one account from
anywhere and one address at any account (30 each), so that neither many machines nor many names
help. A try counts before its password is checked, so that parallel tries don't slip through.
Lives in memory, bounded: guessing across restarts needs the power button.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from goni_core.errors import TooMany

FREE = 5
FREE_WIDE = 30
LONGEST_WAIT_S = 15 * 60
FORGET_S = 60 * 60
MOST_ENTRIES = 10_000


@dataclass(frozen=True)
class _Record:
    tries: int
    last: float


def wait_after(tries: int, free: int) -> float:
    """Seconds that must pass after the ``tries``-th failed try."""
    return 0.0 if tries < free else float(min(2.0 ** min(tries - free + 1, 20), LONGEST_WAIT_S))


class Throttle:
    """Failed tries per account and address; ``clock`` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[bytes, _Record] = OrderedDict()

    def attempt(self, account: str, address: str) -> None:
        """Count one try; :class:`TooMany` when it comes too early (and it doesn't count then)."""
        now = self._clock()
        names = _names(account, address)
        wait = max(self._left(name, free, now) for name, free in names)
        if wait > 0:
            raise TooMany(
                "too many tries to sign in",
                retry_after=int(wait) + 1,
                hint=f"try again in {int(wait) + 1} seconds",
            )
        for name, _ in names:
            record = self._recent(name, now)
            self._records[name] = _Record(record.tries + 1, now)
            self._records.move_to_end(name)
        while len(self._records) > MOST_ENTRIES:
            self._records.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """The try was right: forget the account's earlier ones. The address keeps its own, or
        signing in as oneself would buy more tries at others.
        """
        pair, anywhere, at_any = (name for name, _ in _names(account, address))
        self._records.pop(pair, None)
        self._records.pop(anywhere, None)
        record = self._recent(at_any, self._clock())
        self._records[at_any] = _Record(max(0, record.tries - 1), record.last)

    def _left(self, name: bytes, free: int, now: float) -> float:
        record = self._recent(name, now)
        return record.last + wait_after(record.tries, free) - now

    def _recent(self, name: bytes, now: float) -> _Record:
        record = self._records.get(name)
        if record is None or now - record.last > FORGET_S:
            return _Record(0, now)
        return record


def _names(account: str, address: str) -> list[tuple[bytes, int]]:
    # Hashed, so that a long account name costs no memory.
    pairs = ((account, address, FREE), (account, "", FREE_WIDE), ("", address, FREE_WIDE))
    return [(hashlib.sha256(repr((a, b)).encode()).digest(), free) for a, b, free in pairs]
