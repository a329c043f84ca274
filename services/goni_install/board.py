"""How far an installation is, for whoever watches through the socket."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goni_core.errors import GoniError
from goni_core.progress import Monitor


@dataclass(frozen=True)
class Progress:
    """``phase``: prepare, copy, verify or boot; ``done`` of ``total`` are bytes while it copies.
    ``finished``: it may be started from the disk. ``error`` is why it ended early.
    """

    running: bool = False
    finished: bool = False
    disk: str = ""
    phase: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    words: str = ""
    error: str = ""
    hint: str = ""
    code: str = ""


class Board(Monitor):
    """The present progress; replaced whole, so that any thread may look."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Progress()

    def begin(self, disk: str) -> None:
        self.now = Progress(running=True, disk=disk)

    def show(self, name: str, done: int, total: int, speed: float, left: float | None) -> None:
        self.now = replace(self.now, phase=name, done=done, total=total, seconds_left=left)

    def say(self, words: str) -> None:
        self.now = replace(self.now, words=words)

    def end(self) -> None:
        self.now = replace(self.now, running=False, finished=True, seconds_left=None)

    def fail(self, error: GoniError) -> None:
        self.now = replace(
            self.now, running=False, error=error.message, hint=error.hint, code=error.code
        )
