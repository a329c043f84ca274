"""Which disks Goni can be installed to: what is on them, and why not where it can't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goni_core.disks import Disk, Refusal, amount, in_use
from goni_core.errors import BadInput, Forbidden, NotFound
from goni_install.table import Table


@dataclass(frozen=True)
class Candidate:
    """A disk, its partition table, and why it can't be had (nothing: it can)."""

    disk: Disk
    table: Table
    refusals: tuple[Refusal, ...]

    @property
    def name(self) -> str:
        """What has to be typed to erase it."""
        return Path(self.disk.path).name

    @property
    def goni(self) -> str:
        """The newest version of Goni on it; empty for none."""
        return max(self.table.versions, default="", key=_order)

    @property
    def contents(self) -> list[str]:
        """What is on it, a line each; what is built on two of its partitions comes once."""
        parts = self.disk.contents[1:] or self.disk.contents
        return list(dict.fromkeys(one.words for one in parts if one.filesystem or one.label))

    def plain(self) -> dict[str, object]:
        """As a JSON object (see :mod:`goni_core.contract`, install.sock)."""
        return {
            "name": self.name,
            "path": self.disk.path,
            "bytes": self.disk.size,
            "model": self.disk.name,
            "serial": self.disk.serial,
            "transport": self.disk.transport,
            "contents": self.contents,
            "goni": self.goni,
            "keeps_data": self.table.has_data,
            "refused": self.refusals[0].words if self.refusals else "",
            "hint": self.refusals[0].hint if self.refusals else "",
        }


def judge(disk: Disk, table: Table, own: Path, least: int) -> Candidate:
    """``disk`` for an installation that needs ``least`` bytes, from the disk ``own``."""
    return Candidate(disk, table, tuple(_refusals(disk, own, least)))


def _refusals(disk: Disk, own: Path, least: int) -> Iterator[Refusal]:
    if disk.path == str(own):
        yield Refusal("running", "Goni runs from it", "take another disk")
    yield from in_use(disk)
    if disk.read_only:
        yield Refusal("read_only", "it is write-protected", "take another disk")
    if disk.size < least:
        words = f"it holds {amount(disk.size)}, Goni needs {amount(least)}"
        yield Refusal("too_small", words, "take a larger disk")


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def find(name: str, found: Sequence[Candidate]) -> Candidate:
    """The disk that ``name`` means: its name, path or serial number; errors name what to do."""
    hint = "goni-install list shows the disks"
    wanted = {name, str(Path(name).resolve()) if name.startswith("/") else name}
    same = [one for one in found if wanted & {one.name, one.disk.path, one.disk.serial or one.name}]
    if not same:
        raise NotFound(f"there is no disk {name}", hint=hint)
    if len(same) > 1:
        raise BadInput(f"{name} means more than one disk", hint=hint)
    (candidate,) = same
    for reason in candidate.refusals:
        raise Forbidden(
            f"{candidate.disk.path} is refused: {reason.words}", hint=reason.hint, code=reason.code
        )
    return candidate
