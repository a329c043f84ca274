"""A household by a test double: the line out of the house, and the nodes' mirrors as folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from goni_core.errors import Unavailable
from goni_update.source import Folder, Progress, Source


@dataclass
class Line:
    """The line out of the house: counts what comes through, and can be cut."""

    folder: Folder
    name: str = "server"
    bytes: int = 0
    cut: bool = False
    asked: list[str] = field(default_factory=list)

    def small(self, path: str, limit: int) -> bytes:
        self._check()
        data = self.folder.small(path, limit)
        self.bytes += len(data)
        return data

    def into(self, path: str, target: Path, length: int, progress: Progress) -> None:
        self._check()
        self.asked.append(path)
        before = target.stat().st_size if target.exists() else 0
        self.folder.into(path, target, length, progress)
        self.bytes += target.stat().st_size - before

    def _check(self) -> None:
        if self.cut:
            raise Unavailable("no line", code="line_failed")


@dataclass
class Near:
    """The nodes whose mirrors are in ``mirrors``."""

    mirrors: list[Path] = field(default_factory=list)

    def sources(self) -> Sequence[Source]:
        return [Folder(one) for one in self.mirrors]
