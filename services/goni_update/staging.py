"""Bytes on their way into a slot: fetched, unpacked or rebuilt, and checked to the last one.

Flow: a :class:`~goni_update.plan.Plan` names for each part the smallest road -> files come into the
mirror, where a broken line is continued -> signed size and hash -> unpacked or rebuilt in ``work``
-> the part's own size and SHA-256, and /usr's verity root hash -> renamed into ``staged``. Only
what passed all of that is ever there, and ``release.json`` comes last. The hash tree of /usr is not
fetched but computed: checking /usr makes it anyway.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from goni_core import files
from goni_core.errors import BadInput, Conflict, GoniError
from goni_core.run import Limits, run
from goni_update import plan, rebuild, verity
from goni_update.catalog import Part, Release
from goni_update.plan import Base, Plan, Step
from goni_update.source import Source
from goni_update.trust import Refused, Trust
from goni_update.version import Version

log = logging.getLogger(__name__)

NAMES = {
    "usr": "goni_{version}_{data}.usr.raw",
    "usr-verity": "goni_{version}_{hash}.usr-verity.raw",
    "usr-verity-sig": "goni_{version}.usr-verity-sig.raw",
    "efi": "goni_{version}_x86-64.efi",
}
"""File names in ``staged`` as mkosi.extra/usr/lib/sysupdate.d knows them: /usr's partitions are
found by UUIDs that are the halves of the root hash."""
Report = Callable[[str, int, int], None]
"""Is told what goes on (``fetch``, ``unpack``, ``rebuild``, ``check``), bytes done, of how many."""


class Staging:
    """The folders ``mirror``, ``work`` and ``staged`` below ``folder``, which is the service's
    own. ``source`` is where files come from.
    """

    def __init__(self, folder: Path, trust: Trust, source: Source, report: Report) -> None:
        self.mirror = folder / "mirror"
        self.work = folder / "work"
        self.staged = folder / "staged"
        self._trust = trust
        self._source = source
        self._report = report

    def bring(self, release: Release, base: Base | None) -> Plan:
        """Have ``release`` in ``staged``, whole and checked; returns how it came.

        Raises :class:`Unavailable` (try again), :class:`DiskFull`, :class:`Refused` (what came is
        not what was signed; it is deleted).
        """
        chosen = plan.plan(self._trust, release, base)
        if staged_release(self.staged) == str(release.version):
            return chosen
        self._clear(release)
        files.check_room(self.mirror, chosen.bytes + plan.room(chosen))
        self._fetch_all(chosen)
        for step in chosen.steps:
            try:
                self._make(release, step, base)
            except GoniError as error:
                if step.delta is None:
                    raise
                log.warning(
                    "a delta of %s failed, so it is fetched whole: %s", step.part.name, error
                )
                self._instead(release, step.part)
        files.write(
            self.staged / "release.json",
            json.dumps({"version": str(release.version)}).encode(),
            mode=0o644,
        )
        shutil.rmtree(self.work, ignore_errors=True)
        return chosen

    def _clear(self, release: Release) -> None:
        """Remove what belongs to other releases; what was fetched for this one is kept."""
        for folder in (self.work, self.staged):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.mirror.mkdir(exist_ok=True)
        targets = [part.target for part in release.parts]
        targets += [delta.target for delta in release.deltas]
        wanted = {Path(target).parent for target in targets}
        for path in (self.mirror / "targets").rglob("*"):
            where = path.relative_to(self.mirror / "targets").parent
            if path.is_file() and where not in wanted and path.name.count("releases.json") == 0:
                path.unlink()

    def _fetch_all(self, chosen: Plan) -> None:
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            self._report("fetch", done, chosen.bytes)

        for step in chosen.steps:
            done += self._have(step.file)
            self._report("fetch", done, chosen.bytes)
            self.fetch(step.file, progress)

    def _have(self, file: TargetFile) -> int:
        place = self.mirror / self._trust.place(file)
        part = place.with_name(place.name + ".part")
        return next((path.stat().st_size for path in (place, part) if path.exists()), 0)

    def fetch(self, file: TargetFile, progress: Callable[[int], None]) -> Path:
        """``file`` in the mirror, of the signed size and hash."""
        where = self._trust.place(file)
        place = self.mirror / where
        if place.exists():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(place.name + ".part")
        if part.exists() and part.stat().st_size > file.length:
            part.unlink()
        self._source.into(where, part, file.length, progress)
        with part.open("rb") as source:
            try:
                file.verify_length_and_hashes(source)
            except LengthOrHashMismatchError as error:
                part.unlink()
                raise Refused(
                    f"{file.path.rpartition('/')[2]} is not the signed file", code="corrupted"
                ) from error
        part.replace(place)
        files.sync_folder(place.parent)
        return place

    def _instead(self, release: Release, part: Part) -> None:
        step = Step(part, self._trust.target(part.target))
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            self._report("fetch", done, step.file.length)

        self.fetch(step.file, progress)
        self._make(release, step, None)

    def _make(self, release: Release, step: Step, base: Base | None) -> None:
        part = step.part
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        target = self.work / "made"
        fetched = self.mirror / self._trust.place(step.file)
        if step.delta is None or base is None:
            self._report("unpack", 0, part.bytes)
            unpack(fetched, target, part.bytes)
        else:
            self._report("rebuild", 0, part.bytes)
            self._rebuild(part, base, fetched, target)
        self._report("check", 0, part.bytes)
        check(target, part)
        if part.name == "usr":
            self._place_tree(release, target)
        self._place(release, part.name, target)
        self._report("check", part.bytes, part.bytes)

    def _rebuild(self, part: Part, base: Base, delta: Path, target: Path) -> None:
        if part.name == "usr":
            assert base.image is not None
            rebuild.usr(base.image, base.usr, delta, target, self.work, limit=part.bytes)
        else:
            assert base.efi is not None
            rebuild.efi(base.efi, delta, target, self.work, limit=part.bytes)

    def _place_tree(self, release: Release, usr: Path) -> None:
        made = self.work / "tree"
        root, content = verity.tree(usr, verity.superblock(release.superblock))
        if root != release.roothash:
            raise Refused("/usr doesn't have the signed root hash", code="corrupted")
        made.write_bytes(content)
        check(made, release.part("usr-verity"))
        self._place(release, "usr-verity", made)

    def _place(self, release: Release, part: str, made: Path) -> None:
        with files.incoming(self.staged / staged_name(release, part), mode=0o644) as fresh:
            made.replace(fresh)


def staged_name(release: Release, part: str) -> str:
    """The name under which ``part`` waits in ``staged``."""
    halves = release.roothash[:32], release.roothash[32:]
    data, hashes = (str(uuid.UUID(half)) for half in halves)
    return NAMES[part].format(version=release.version, data=data, hash=hashes)


def staged_release(folder: Path) -> str:
    """The version that is whole in ``folder``; empty when none is."""
    try:
        return str(json.loads((folder / "release.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def unpack(source: Path, target: Path, size: int) -> None:
    """Decompress ``source`` into ``target``, which gets no larger than ``size`` bytes."""
    limits = Limits(cpu_s=3600, memory=1 << 30, file_size=size)
    try:
        run(["zstd", "-d", "-q", "-f", source, "-o", target], timeout=3600, limits=limits)
    except GoniError as error:
        if error.code != "process_failed":
            raise
        files.check_room(target.parent, 0)
        raise Refused(f"{source.name} can't be unpacked as signed", code="corrupted") from error


def check(path: Path, part: Part) -> None:
    """:class:`Refused` unless ``path`` has the size and SHA-256 that are signed for ``part``."""
    if path.stat().st_size != part.bytes:
        raise Refused(f"{part.name} has another size than signed", code="corrupted")
    with path.open("rb") as source:
        if hashlib.file_digest(source, "sha256").hexdigest() != part.sha256:
            raise Refused(f"{part.name} is not what was signed", code="corrupted")


def must_be_above(release: Release, here: Version) -> None:
    """Refuse what would go back, or can't be reached from here."""
    if release.version <= here:
        raise Conflict(
            f"{release.version} is not newer than {here}, which runs",
            hint="goni-update rollback goes to the version in the other slot",
            code="not_newer",
        )
    if here < release.minimum:
        raise BadInput(
            f"{release.version} can only be reached from {release.minimum} on, and {here} runs",
            hint="update to a version in between first",
            code="too_old",
        )
