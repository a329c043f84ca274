"""What a person or a program sees of the work: a bar on standard error, or lines of JSON.

The lines (``--json``) are for graphical front ends, one object each on standard output::

    {"event": "disk", "path", "bytes", "name", "serial", "transport"}
    {"event": "image", "path", "bytes", "signed_by", "verified"}
    {"event": "progress", "phase", "done", "total", "bytes_per_second", "seconds_left"}
    {"event": "done", "path", "bytes", "seconds", "verified", "ejected"}
    {"event": "error", "code", "message", "hint"}

Phases in order: fetch (a URL), unpack (.zst), check, write, verify. ``done`` and ``total`` are in
bytes; ``seconds_left`` is null while it can't be told.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque

from goni_core.disks import amount

PAUSE = 0.2
"""Seconds between two lines at least."""
WINDOW = 5.0
"""Seconds over which speed is measured."""
WIDTH = 24


class Monitor:
    """Counts bytes and says now and then how far it is; :meth:`advance` may come from any thread.

    What it prints is up to its children.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._name = ""
        self._done = self._total = 0
        self._shown = 0.0
        self._seen: deque[tuple[float, int]] = deque()

    def phase(self, name: str, total: int, *, done: int = 0) -> None:
        """A new phase of ``total`` bytes begins, ``done`` of which need not be done again."""
        with self._lock:
            self._name, self._done, self._total = name, done, total
            self._seen = deque([(time.monotonic(), done)])
            self._shown = 0.0

    def advance(self, count: int) -> None:
        """``count`` more bytes are done."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            last = self._done >= self._total
            if last or now - self._shown >= PAUSE:
                self._shown = now
                speed = self._speed(now)
                left = (self._total - self._done) / speed if speed else None
                self.show(self._name, self._done, self._total, speed, left)
                if last:
                    self.finished()

    def _speed(self, now: float) -> float:
        self._seen.append((now, self._done))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        begun, had = self._seen[0]
        return (self._done - had) / (now - begun) if now > begun else 0.0

    def show(self, name: str, done: int, total: int, speed: float, left: float | None) -> None:
        """How far the phase is; ``speed`` in bytes per second, ``left`` in seconds."""

    def finished(self) -> None:
        """A phase came to its end."""

    def event(self, kind: str, /, **facts: object) -> None:
        """Something happened that programs want to know."""

    def say(self, words: str) -> None:
        """Something happened that people want to know."""


class Bar(Monitor):
    """A line that is written over and over on a terminal; else one line per phase."""

    def __init__(self) -> None:
        super().__init__()
        self._sink = sys.stderr
        self._terminal = self._sink.isatty()

    def show(self, name: str, done: int, total: int, speed: float, left: float | None) -> None:
        if self._terminal or done >= total:
            line = bar(name, done, total, speed, left)
            self._sink.write(f"\r\x1b[K{line}" if self._terminal else line)
            self._sink.flush()

    def finished(self) -> None:
        self._sink.write("\n")
        self._sink.flush()

    def say(self, words: str) -> None:
        print(words, file=self._sink, flush=True)


class JsonLines(Monitor):
    """The lines that the head of this module describes."""

    def show(self, name: str, done: int, total: int, speed: float, left: float | None) -> None:
        self.event(
            "progress",
            phase=name,
            done=done,
            total=total,
            bytes_per_second=round(speed),
            seconds_left=None if left is None else round(left, 1),
        )

    def event(self, kind: str, /, **facts: object) -> None:
        print(json.dumps({"event": kind, **facts}), flush=True)


def bar(name: str, done: int, total: int, speed: float, left: float | None) -> str:
    """``write  [######      ]  50 %  1.4 of 2.7 GB  91.0 MB/s  0:15 left``."""
    part = min(1.0, done / total) if total else 1.0
    full = int(part * WIDTH)
    words = [f"{name:<7}[{'#' * full}{' ' * (WIDTH - full)}] {part * 100:3.0f} %"]
    words += [f"{amount(done)} of {amount(total)}"]
    words += [f"{amount(int(speed))}/s"] if speed else []
    if left is not None and done < total:
        minutes, seconds = divmod(round(left), 60)
        words += [f"{minutes}:{seconds:02} left"]
    return "  ".join(words)
