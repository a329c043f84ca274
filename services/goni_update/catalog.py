"""What a channel offers: the signed list of releases, and which of them a node may take.

The list is a TUF target of its own, ``<channel>/<variant>/releases.json``, newest release first.
Everything in it is signed with the channel's key; it is parsed strictly nevertheless.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from goni_core import fields
from goni_core.errors import BadInput
from goni_update import version
from goni_update.version import Version

FORMAT = 1
CHANNELS = ("stable", "beta")
PARTS = ("usr", "usr-verity", "usr-verity-sig", "efi")
"""In the order in which they are written: the UKI, which makes the others count, last."""
LIST_LIMIT = 1 << 20
PART_LIMIT = {
    "usr": 2 << 30,
    "usr-verity": 32 << 20,
    "usr-verity-sig": 16 << 10,
    "efi": 256 << 20,
}
"""Bytes at most of each part, which are the slot's sizes in repart.d."""
_HASH = re.compile(r"[0-9a-f]{64}")
_TARGET = re.compile(r"[a-z0-9-]{1,40}(/[A-Za-z0-9._+-]{1,80}){1,4}")
_VARIANT = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True)
class Part:
    """One file of a release: its TUF target (zstd), and its size and SHA-256 unpacked."""

    name: str
    target: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Delta:
    """What makes ``part`` of this release out of the one of version ``base``."""

    part: str
    base: Version
    target: str


@dataclass(frozen=True)
class Release:
    """One release. ``minimum`` is the oldest version that can take it; ``rollout`` the share of
    nodes, in percent; ``urgency`` the reason not to wait, if there is one; ``roothash`` and
    ``superblock`` are /usr's verity.
    """

    version: Version
    minimum: Version
    rollout: int
    urgency: str
    notes: str
    date: str
    roothash: str
    superblock: bytes
    parts: tuple[Part, ...]
    deltas: tuple[Delta, ...] = ()

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def delta(self, part: str, base: Version) -> Delta | None:
        """The delta of ``part`` from ``base``, when there is one."""
        found = (one for one in self.deltas if one.part == part and one.base == base)
        return next(found, None)


@dataclass(frozen=True)
class Catalog:
    """A channel's releases for one variant of the image, newest first."""

    channel: str
    variant: str
    releases: tuple[Release, ...]

    def plain(self) -> dict[str, Any]:
        """As the JSON object that :func:`parse` takes."""
        return {
            "format": FORMAT,
            "channel": self.channel,
            "variant": self.variant,
            "releases": [_plain(release) for release in self.releases],
        }


def target(channel: str, variant: str) -> str:
    """The TUF target's path of a catalog."""
    return f"{channel}/{variant}/releases.json"


def parse(data: bytes) -> Catalog:
    """A catalog; :class:`BadInput` names the field that is wrong."""
    whole = fields.parse(data)
    fields.only(whole, ("format", "channel", "variant", "releases"))
    if fields.integer(whole, "format", least=1, most=1000) != FORMAT:
        raise BadInput("this list of releases is for a newer Goni", code="too_new")
    listed = fields.objects(whole, "releases", most=200)
    releases = sorted((_release(one) for one in listed), key=lambda one: one.version, reverse=True)
    return Catalog(
        _matching(whole, "channel", _VARIANT),
        _matching(whole, "variant", _VARIANT),
        tuple(releases),
    )


def choose(
    catalog: Catalog, here: Version, *, node: str, failed: Collection[Version] = ()
) -> Release | None:
    """The newest release for a node that runs ``here``: above it, within reach of its minimum
    version, rolled out to this ``node`` (an opaque id), and not one that ``failed`` here before.
    """
    for release in catalog.releases:
        above = release.version > here >= release.minimum
        if above and release.version not in failed and share(node, release) < release.rollout:
            return release
    return None


def share(node: str, release: Release) -> int:
    """Where ``node`` stands in this release's rollout, from 0 to 99; another place each time."""
    digest = hashlib.sha256(f"{node} {release.version}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100


def _release(value: fields.Object) -> Release:
    fields.only(value, _RELEASE_KEYS)
    parts = tuple(_part(one) for one in fields.objects(value, "parts", most=len(PARTS)))
    if sorted(part.name for part in parts) != sorted(PARTS):
        raise BadInput(f"parts must be {', '.join(PARTS)}")
    return Release(
        version.parse(fields.text(value, "version")),
        version.parse(fields.text(value, "minimum")),
        fields.integer(value, "rollout", least=0, most=100),
        fields.text(value, "urgency", default=""),
        fields.text(value, "notes", longest=20_000, default=""),
        fields.text(value, "date", longest=40),
        _matching(value, "roothash", _HASH),
        _bytes(value, "superblock"),
        tuple(sorted(parts, key=lambda part: PARTS.index(part.name))),
        tuple(_delta(one) for one in fields.objects(value, "deltas", most=100)),
    )


_RELEASE_KEYS = (
    "version",
    "minimum",
    "rollout",
    "urgency",
    "notes",
    "date",
    "roothash",
    "superblock",
    "parts",
    "deltas",
)


def _part(value: fields.Object) -> Part:
    fields.only(value, ("name", "target", "bytes", "sha256"))
    name = fields.text(value, "name")
    if name not in PARTS:
        raise BadInput(f"unknown part {name[:40]!r}")
    size = fields.integer(value, "bytes", least=1, most=PART_LIMIT[name])
    return Part(name, _matching(value, "target", _TARGET), size, _matching(value, "sha256", _HASH))


def _delta(value: fields.Object) -> Delta:
    fields.only(value, ("part", "base", "target"))
    part = fields.text(value, "part")
    if part not in PARTS:
        raise BadInput(f"unknown part {part[:40]!r}")
    base = version.parse(fields.text(value, "base"))
    return Delta(part, base, _matching(value, "target", _TARGET))


def _matching(value: fields.Object, name: str, form: re.Pattern[str]) -> str:
    found = fields.text(value, name)
    if not form.fullmatch(found) or ".." in found:
        raise BadInput(f"{name} is malformed", code="bad_value")
    return found


def _bytes(value: fields.Object, name: str) -> bytes:
    try:
        return bytes.fromhex(fields.text(value, name, longest=2048))
    except ValueError as error:
        raise BadInput(f"{name} is not hexadecimal", code="bad_value") from error


def _plain(release: Release) -> dict[str, Any]:
    return {
        "version": str(release.version),
        "minimum": str(release.minimum),
        "rollout": release.rollout,
        "urgency": release.urgency,
        "notes": release.notes,
        "date": release.date,
        "roothash": release.roothash,
        "superblock": release.superblock.hex(),
        "parts": [
            {"name": one.name, "target": one.target, "bytes": one.bytes, "sha256": one.sha256}
            for one in release.parts
        ],
        "deltas": [
            {"part": one.part, "base": str(one.base), "target": one.target}
            for one in release.deltas
        ],
    }
