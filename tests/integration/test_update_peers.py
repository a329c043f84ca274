"""Four nodes of a household: what one fetched from outside the others get from it. The mesh's
channel is a test double here, a folder; the repository, the trust and the staging are real.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from goni_core.errors import Unavailable
from goni_update.peers import Nearest
from goni_update.source import Folder, Progress, Source
from goni_update.staging import Staging, staged_name
from tests.releases import VARIANT, Publisher, trusting


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


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "builder")
    made.folder.mkdir()
    made.start()
    made.publish("0.2.0")
    return made


def bring(publisher: Publisher, folder: Path, line: Line, near: Near) -> Path:
    """One node stages the release; its mirror."""
    source = Nearest(line, near)
    trusted = trusting(publisher, folder, source)
    trusted.refresh()
    release = trusted.catalog("stable", VARIANT).releases[0]
    area = Staging(folder, trusted, source, lambda *_: None)
    area.bring(release, None)
    for part in ("usr", "usr-verity", "usr-verity-sig", "efi"):
        assert (area.staged / staged_name(release, part)).stat().st_size == release.part(part).bytes
    return area.mirror


def test_four_nodes_need_the_line_for_one(publisher: Publisher, tmp_path: Path) -> None:
    line, near = Line(Folder(publisher.repository)), Near()
    near.mirrors.append(bring(publisher, tmp_path / "1", line, near))
    asked, one = len(line.asked), line.bytes
    assert asked == 3
    for number in ("2", "3", "4"):
        before = line.bytes
        near.mirrors.append(bring(publisher, tmp_path / number, line, near))
        # What is left is metadata, which is only fresh outside.
        assert line.bytes - before < 20_000 < one
    assert len(line.asked) == asked


def test_a_peer_that_lies_or_breaks_off_is_passed_over(
    publisher: Publisher, tmp_path: Path
) -> None:
    line, near = Line(Folder(publisher.repository)), Near()
    good = bring(publisher, tmp_path / "1", line, near)
    wholly = len(line.asked)
    lying, cut = tmp_path / "lying", tmp_path / "cut"
    for folder in (lying, cut):
        shutil.copytree(good, folder)
    for path in lying.rglob("*.zst"):
        path.write_bytes(bytes(path.stat().st_size))
    for path in cut.rglob("*.zst"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    line.asked.clear()
    bring(publisher, tmp_path / "2", line, Near([lying, cut]))
    assert len(line.asked) == wholly
    # The half that came from the honest one is not fetched again.
    line.asked.clear()
    line.bytes = 0
    bring(publisher, tmp_path / "3", line, Near([cut]))
    sizes = sum(path.stat().st_size for path in good.rglob("*.zst"))
    assert line.bytes < 0.6 * sizes + 20_000
    line.asked.clear()
    bring(publisher, tmp_path / "4", line, Near([lying, good]))
    assert line.asked == []


def test_a_house_without_a_line_takes_what_a_peer_has(publisher: Publisher, tmp_path: Path) -> None:
    line = Line(Folder(publisher.repository))
    first = bring(publisher, tmp_path / "1", line, Near())
    line.cut = True
    bring(publisher, tmp_path / "2", line, Near([first]))
    with pytest.raises(Unavailable):
        bring(publisher, tmp_path / "3", line, Near())
