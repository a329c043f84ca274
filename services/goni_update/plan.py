"""How a release comes: the smallest road for each of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import TargetFile

from goni_core.errors import NotFound
from goni_update.catalog import Delta, Part, Release
from goni_update.trust import Trust
from goni_update.version import Version

FETCHED = ("usr", "usr-verity-sig", "efi")
"""The parts that are fetched, in this order."""
REBUILD_ROOM = 4
"""Times the size of /usr that rebuilding it takes on the disk at most, for a while."""


@dataclass(frozen=True)
class Base:
    """The running version, as far as a delta can start from it: /usr's files, its image (a file
    descriptor) and the UKI.
    """

    version: Version
    usr: Path
    image: int | None = None
    efi: Path | None = None

    def has(self, part: str) -> bool:
        if part == "usr":
            return self.image is not None
        return part == "efi" and self.efi is not None and self.efi.exists()


@dataclass(frozen=True)
class Step:
    """How one part comes: by ``delta`` or, without one, whole; ``file`` is what is fetched."""

    part: Part
    file: TargetFile
    delta: Delta | None = None


@dataclass(frozen=True)
class Plan:
    """All that has to be fetched for a release."""

    release: Release
    steps: tuple[Step, ...]

    @property
    def bytes(self) -> int:
        return sum(step.file.length for step in self.steps)


def plan(trust: Trust, release: Release, base: Base | None) -> Plan:
    """The smallest road for each part; without ``base`` all come whole."""
    return Plan(release, tuple(_step(trust, release, name, base) for name in FETCHED))


def _step(trust: Trust, release: Release, name: str, base: Base | None) -> Step:
    part = release.part(name)
    whole = Step(part, trust.target(part.target))
    delta = release.delta(name, base.version) if base and base.has(name) else None
    if delta is None:
        return whole
    try:
        small = Step(part, trust.target(delta.target), delta)
    except NotFound:
        return whole
    return small if small.file.length < whole.file.length else whole


def room(chosen: Plan) -> int:
    """Bytes that unpacking, or rebuilding, takes on the disk beside what is fetched."""
    whole = sum(part.bytes for part in chosen.release.parts)
    rebuilt = any(step.delta for step in chosen.steps if step.part.name == "usr")
    return whole + (REBUILD_ROOM * chosen.release.part("usr").bytes if rebuilt else 0)
