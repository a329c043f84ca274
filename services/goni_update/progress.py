"""What an update is doing right now, for whoever watches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goni_core.errors import GoniError


@dataclass(frozen=True)
class Progress:
    """``stage``: fetch, unpack, rebuild, check, write, restart (it waits to) or done; ``done`` of
    ``total`` are bytes. ``error`` is the reason why it ended early.
    """

    running: bool = False
    action: str = ""
    version: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    words: str = ""
    error: str = ""
    hint: str = ""
    code: str = ""


class Board:
    """The present progress; set from any thread, as each is replaced whole."""

    def __init__(self) -> None:
        self.now = Progress()

    def begin(self, action: str) -> None:
        self.now = Progress(running=True, action=action)

    def about(self, version: str) -> None:
        self.now = replace(self.now, version=version)

    def report(self, stage: str, done: int, total: int) -> None:
        self.now = replace(self.now, stage=stage, done=done, total=total)

    def end(self, words: str) -> None:
        self.now = replace(self.now, running=False, stage="done", words=words)

    def fail(self, error: GoniError) -> None:
        self.now = replace(
            self.now, running=False, error=error.message, hint=error.hint, code=error.code
        )
