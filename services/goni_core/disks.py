"""The disks of this machine: what they are, what is on them, and which of them are in use.

What the kernel and udev know comes from lsblk(8)'s JSON; :func:`parse` and :func:`in_use` judge it
without touching anything. What slips through here (a file system that only the kernel knows to be
in use) is refused by the kernel itself, where the disk is opened exclusively.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goni_core.errors import GoniError
from goni_core.run import run

COLUMNS = (
    "NAME,PATH,TYPE,SIZE,LOG-SEC,RO,RM,HOTPLUG,TRAN,VENDOR,MODEL,SERIAL,FSTYPE,LABEL,PARTLABEL,"
    "MOUNTPOINTS"
)
SYSTEM = ("/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/home")
STACKED = {"crypt": "encryption", "lvm": "LVM", "mpath": "multipath"}
"""lsblk's types of what is built on a disk and keeps it in use, in words; RAID levels besides."""


@dataclass(frozen=True)
class Content:
    """Something on a disk: a partition, or what is built on one. ``size`` is in bytes."""

    path: str
    kind: str
    size: int
    filesystem: str = ""
    label: str = ""
    mounts: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For people: ``sdb1 512.0 MB vfat "esp" on /boot``."""
        parts = [Path(self.path).name, amount(self.size), self.filesystem]
        parts += [f'"{self.label}"' if self.label else ""]
        parts += [f"on {', '.join(self.mounts)}" if self.mounts else ""]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Disk:
    """A disk. ``contents`` starts with the disk itself; ``size`` and ``sector`` are in bytes."""

    path: str
    kind: str
    size: int
    sector: int
    name: str
    serial: str
    transport: str
    read_only: bool
    removable: bool
    contents: tuple[Content, ...] = ()

    @property
    def identity(self) -> str:
        """What has to be typed to erase a disk that can't be unplugged."""
        return self.serial or Path(self.path).name

    @property
    def words(self) -> str:
        """For people: ``/dev/sdb  31.9 GB  SanDisk Ultra, usb, serial 4C53``."""
        facts = [self.name or "unnamed", self.transport]
        facts += [f"serial {self.serial}" if self.serial else ""]
        return f"{self.path}  {amount(self.size)}  {', '.join(fact for fact in facts if fact)}"


@dataclass(frozen=True)
class Refusal:
    """Why a disk may not be erased, and what a person can do. ``code`` is for programs."""

    code: str
    words: str
    hint: str


def amount(size: int) -> str:
    """``size`` bytes as disks are sold: powers of ten."""
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def present() -> tuple[Disk, ...]:
    """The disks of this machine; :class:`GoniError` when lsblk can't say."""
    return parse(run(["lsblk", "--json", "--bytes", "--output", COLUMNS], timeout=30).stdout)


def parse(listing: bytes) -> tuple[Disk, ...]:
    """The disks in the output of ``lsblk --json``; empty card readers and optical drives are none.

    Raises :class:`GoniError` for anything else than lsblk's JSON.
    """
    try:
        devices = json.loads(listing)["blockdevices"]
        found = [_disk(device) for device in devices if device["type"] in ("disk", "loop")]
    except (ValueError, KeyError, TypeError) as error:
        raise GoniError(
            "lsblk's list of disks can't be read", hint="update util-linux (2.37 or newer)"
        ) from error
    return tuple(disk for disk in found if disk.size)


def _disk(device: dict[str, Any]) -> Disk:
    name = " ".join(_text(device, key) for key in ("vendor", "model"))
    return Disk(
        path=str(device["path"]),
        kind=str(device["type"]),
        size=int(device["size"]),
        sector=int(device["log-sec"]),
        name=" ".join(name.split()),
        serial=_text(device, "serial"),
        transport=_text(device, "tran"),
        read_only=bool(device["ro"]),
        # A USB disk with a case of its own doesn't call itself removable, but can be unplugged; a
        # loop device was made by somebody to be written to.
        removable=bool(device["rm"] or device["hotplug"] or device["type"] == "loop"),
        contents=tuple(_contents(device)),
    )


def _contents(device: dict[str, Any]) -> Iterator[Content]:
    yield Content(
        path=str(device["path"]),
        kind=str(device["type"]),
        size=int(device["size"] or 0),
        filesystem=_text(device, "fstype"),
        label=_text(device, "label") or _text(device, "partlabel"),
        mounts=tuple(mount for mount in device.get("mountpoints") or () if mount),
    )
    for child in device.get("children") or ():
        yield from _contents(child)


def _text(device: dict[str, Any], key: str) -> str:
    """What a disk says of itself, without what would move a terminal's cursor."""
    return "".join(c for c in str(device.get(key) or "") if c.isprintable()).strip()


def in_use(disk: Disk) -> Iterator[Refusal]:
    """Why ``disk`` may not be erased just now, as far as lsblk tells."""
    mounts = [mount for content in disk.contents for mount in content.mounts]
    if any(mount in SYSTEM for mount in mounts):
        yield Refusal("system", "this machine's own system is on it", "take another disk")
    elif "[SWAP]" in mounts:
        yield Refusal("swap", "this machine swaps to it", "swapoff --all, or take another disk")
    elif mounts:
        hint = f"umount {' '.join(mounts[:4])}, or eject it in the file manager"
        yield Refusal("mounted", f"it is mounted on {', '.join(mounts[:4])}", hint)
    for content in disk.contents:
        use = "RAID" if content.kind.startswith(("raid", "linear")) else STACKED.get(content.kind)
        if use:
            name = Path(content.path).name
            yield Refusal("in_use", f"{use} uses it ({name})", "stop that first, or take another")
            return
