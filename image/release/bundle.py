"""The files of one release, made from what ``make image`` left in ``out/``.

Flow: the four parts of the image, cut to what verity covers -> zstd -> the delta from each of the
last releases, kept where it is smaller -> the channel's list of releases with the new one in front.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from goni_core.errors import Conflict, GoniError, NotFound
from goni_core.run import run
from goni_update import catalog, verity
from goni_update.catalog import Catalog, Delta, Part, Release
from goni_update.version import Version
from image.release import delta
from image.release.repository import Repository

SUFFIX = {
    "efi": ".efi",
    "usr": ".usr.raw",
    "usr-verity": ".usr-verity.raw",
    "usr-verity-sig": ".usr-verity-sig.raw",
}
BLOCK = 1 << 20
LEVEL = 12
"""zstd's. The parts are compressed inside already; higher levels cost minutes for a few KB."""


@dataclass(frozen=True)
class Wanted:
    """What a release says of itself, beside its files."""

    version: Version
    minimum: Version
    rollout: int = 100
    urgency: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Image:
    """The built parts of one version, by their name in ``catalog.PARTS``."""

    version: Version
    files: Mapping[str, Path]
    roothash: str
    head: verity.Superblock

    @property
    def usr_bytes(self) -> int:
        return self.head.blocks * verity.BLOCK


@dataclass(frozen=True)
class Bundle:
    """A release and its files by their target's path."""

    release: Release
    files: Mapping[str, Path]


def image_at(stem: Path, number: Version) -> Image:
    """The image whose files begin with ``stem``; :class:`NotFound` names a missing one."""
    found = {name: stem.with_name(stem.name + suffix) for name, suffix in SUFFIX.items()}
    for path in found.values():
        if not path.exists():
            raise NotFound(f"{path} is missing", hint="make image builds it")
    signature = json.loads(found["usr-verity-sig"].read_bytes().rstrip(b"\0"))
    with found["usr-verity"].open("rb") as source:
        head = verity.superblock(source.read(512))
    return Image(number, found, str(signature["rootHash"]), head)


def build(image: Image, wanted: Wanted, where: str, work: Path, *, level: int = LEVEL) -> Bundle:
    """Compress ``image``'s parts into ``work``; ``where`` is ``<channel>/<variant>/<version>``."""
    sizes = {name: path.stat().st_size for name, path in image.files.items()}
    sizes["usr"] = image.usr_bytes
    sizes["usr-verity"] = _checked_tree(image)
    parts, made = [], {}
    for name in catalog.PARTS:
        cut = work / f"goni_{image.version}_x86-64{SUFFIX[name]}"
        digest = copy(image.files[name], cut, sizes[name])
        packed = cut.with_name(cut.name + ".zst")
        run(["zstd", f"-{level}", "-q", "-f", cut, "-o", packed], timeout=3600)
        cut.unlink()
        target = f"{where}/{packed.name}"
        parts.append(Part(name, target, sizes[name], digest))
        made[target] = packed
    release = Release(
        wanted.version,
        wanted.minimum,
        wanted.rollout,
        wanted.urgency,
        wanted.notes,
        "",
        image.roothash,
        image.head.raw,
        tuple(parts),
    )
    return Bundle(release, made)


def _checked_tree(image: Image) -> int:
    """How many bytes of the hash partition are used. Nodes compute them, so that they must be what
    we compute.
    """
    root, content = verity.tree(image.files["usr"], image.head)
    with image.files["usr-verity"].open("rb") as source:
        if root != image.roothash or source.read(len(content)) != content:
            raise GoniError("the image's verity data doesn't belong to its /usr")
    return len(content)


def publish(
    repository: Repository, channel: str, variant: str, bundle: Bundle, work: Path, now: datetime
) -> Catalog:
    """Sign ``bundle`` as the newest release of ``channel``."""
    listed = current(repository, channel, variant)
    release = replace(bundle.release, date=now.isoformat(timespec="seconds"))
    if any(one.version >= release.version for one in listed.releases):
        raise Conflict(
            f"{channel} has {listed.releases[0].version} already",
            hint="versions only go up; withdraw the wrong one and release a higher one",
        )
    return _replace(
        repository, replace(listed, releases=(release, *listed.releases)), bundle.files, work
    )


def with_deltas(
    repository: Repository, channel: str, variant: str, bundle: Bundle, work: Path, *, last: int
) -> Bundle:
    """``bundle`` with deltas from the ``last`` releases of ``channel``, each kept where it is
    smaller than the whole file and was seen to rebuild the same bytes.
    """
    new = _raw(bundle.release, "", bundle.files.__getitem__, work)
    release, made = bundle.release, dict(bundle.files)
    for old in current(repository, channel, variant).releases[:last]:
        before = _raw(old, f"-{old.version}", _published(repository, channel), work)
        for part in ("usr", "efi"):
            packed = made[release.part(part).target]
            name = f"goni_{release.version}_from_{old.version}.{part}.delta"
            found = delta.make(part, before[part], new[part], work / name, work)
            if found is None or found.stat().st_size >= packed.stat().st_size:
                continue
            target = f"{channel}/{variant}/{release.version}/{name}"
            made[target] = found
            release = replace(release, deltas=(*release.deltas, Delta(part, old.version, target)))
        for path in before.values():
            path.unlink()
    for path in new.values():
        path.unlink()
    return Bundle(release, made)


def _published(repository: Repository, channel: str) -> Callable[[str], Path]:
    targets = repository.targets(channel).targets
    return lambda target: repository.path_of(targets[target])


def _raw(release: Release, mark: str, packed: Callable[[str], Path], work: Path) -> dict[str, Path]:
    """The unpacked /usr and UKI of a release."""
    found = {}
    for part in ("usr", "efi"):
        found[part] = work / f"{part}{mark}.raw"
        source = packed(release.part(part).target)
        run(["zstd", "-d", "-q", "-f", source, "-o", found[part]], timeout=3600)
    return found


def withdraw(
    repository: Repository, channel: str, variant: str, number: Version, work: Path
) -> Catalog:
    """Take a release back: nodes that don't have it yet will not get it."""
    listed = current(repository, channel, variant)
    kept = tuple(one for one in listed.releases if one.version != number)
    if kept == listed.releases:
        raise NotFound(f"{channel} has no {number}")
    return _replace(repository, replace(listed, releases=kept), {}, work)


def current(repository: Repository, channel: str, variant: str) -> Catalog:
    """What ``channel`` lists now."""
    path = catalog.target(channel, variant)
    target = repository.targets(channel).targets.get(path)
    if target is None:
        return Catalog(channel, variant, ())
    return catalog.parse(repository.path_of(target).read_bytes())


def versions(listed: Catalog) -> list[str]:
    """The versions in ``listed``, newest first."""
    return [str(release.version) for release in listed.releases]


def _replace(
    repository: Repository, listed: Catalog, more: Mapping[str, Path], work: Path
) -> Catalog:
    """Publish ``listed`` and drop the targets that it no longer names."""
    path = catalog.target(listed.channel, listed.variant)
    source = work / "releases.json"
    source.write_text(json.dumps(listed.plain(), indent=1))
    named = {path, *_targets(listed)}
    mine = f"{listed.channel}/{listed.variant}/"
    have = repository.targets(listed.channel).targets
    gone = {one for one in have if one.startswith(mine)} - named
    repository.add(listed.channel, {**more, path: source}, gone=gone)
    return listed


def _targets(listed: Catalog) -> Iterator[str]:
    for release in listed.releases:
        yield from (part.target for part in release.parts)
        yield from (delta.target for delta in release.deltas)


def copy(source: Path, target: Path, size: int) -> str:
    """Copy the first ``size`` bytes and return their SHA-256."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        left = size
        while left:
            block = reading.read(min(BLOCK, left))
            if not block:
                raise GoniError(f"{source} is shorter than its verity data says")
            digest.update(block)
            writing.write(block)
            left -= len(block)
    return digest.hexdigest()
