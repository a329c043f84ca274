"""Who has typed the right PIN: random tokens, in memory only, so that they end with the wizard."""

from __future__ import annotations

import secrets
from collections.abc import Callable

LIFE_S = 86_400.0
"""Seconds without a request: a phone that fell asleep in between types no PIN again."""
MOST = 16
"""Browsers at a time; the one that was idle for longest makes room."""


class Sessions:
    """Tokens and when they end, in seconds of ``clock``."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}

    def open(self) -> str:
        """A new session's token."""
        self._forget()
        while len(self._ends) >= MOST:
            del self._ends[min(self._ends, key=lambda token: self._ends[token])]
        token = secrets.token_urlsafe(32)
        self._ends[token] = self._clock() + LIFE_S
        return token

    def holds(self, token: str | None) -> bool:
        """Whether ``token`` is a live session, which then lives on."""
        self._forget()
        # Looked up by hash: the time it takes says nothing about how much of a guess was right.
        if token is None or token not in self._ends:
            return False
        self._ends[token] = self._clock() + LIFE_S
        return True

    @property
    def open_ones(self) -> int:
        """How many there are."""
        self._forget()
        return len(self._ends)

    def _forget(self) -> None:
        now = self._clock()
        self._ends = {token: end for token, end in self._ends.items() if end > now}
