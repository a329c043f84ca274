"""How far something is, for a person who waits: one line on standard error that is written over, or
now and then a line where nobody could watch.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

QUIET = 2.0
"""Seconds in which nothing is said: most work is done by then."""
TERMINAL_EVERY, FILE_EVERY = 0.2, 10.0


class Progress:
    """``total`` of ``what`` are to be done; :meth:`step` says that some more are."""

    def __init__(self, what: str, total: int, stream: TextIO | None = None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._stream = stream or sys.stderr
        self._begun = self._said = time.monotonic()
        self._shown = False

    def step(self, done: int = 1) -> None:
        self._done += done
        now = time.monotonic()
        every = TERMINAL_EVERY if self._stream.isatty() else FILE_EVERY
        if now - self._begun > QUIET and now - self._said >= every:
            self._said = now
            self._say(now)

    def end(self) -> None:
        """Leave the last line standing."""
        if self._shown:
            self._say(time.monotonic())
            if self._stream.isatty():
                print(file=self._stream)

    def _say(self, now: float) -> None:
        self._shown = True
        line = words(self._what, self._done, self._total, now - self._begun)
        if self._stream.isatty():
            print(f"\r{line}\x1b[K", end="", file=self._stream, flush=True)
        else:
            print(line, file=self._stream, flush=True)


def words(what: str, done: int, total: int, seconds: float) -> str:
    """``12 of 40 files, 3.1/s, 0:09 left``."""
    rate = done / seconds if seconds > 0 else 0.0
    said = f"{done:,} of {total:,} {what}, {rate:,.1f}/s"
    if done < total and rate:
        left = round((total - done) / rate)
        said += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
    return said
