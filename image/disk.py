"""A virtual machine's disk: a blank one with the image written at its start, as a stick would.

A raw sparse file, so that tests can look at it and damage it with plain seeks. The image's backup
partition table then isn't at the disk's end, as on any real disk: systemd-repart moves it.
"""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput, GoniError, NotFound

SIZE = 16_000_000_000
SECTOR = 512
ROOM = 2 << 30
"""Bytes kept for what the guest will write, beside the image's own."""


@dataclass(frozen=True)
class Partition:
    """A partition of a disk: its name, and where it is in bytes."""

    label: str
    start: int
    size: int


def write_image(image: Path, target: Path, *, size: int = SIZE) -> None:
    """A disk of ``size`` bytes at ``target`` that begins with ``image``; holes stay holes."""
    found = image.stat()
    if found.st_size > size:
        raise BadInput(f"{image.name} is larger than the disk", hint="give a larger disk")
    wanted = found.st_blocks * 512 + ROOM
    free = shutil.disk_usage(target.parent).free
    if wanted > free:
        raise GoniError(
            f"not enough room for a virtual disk: {wanted >> 20} MiB wanted, {free >> 20} free",
            hint="remove out/vm and out/run, or free some space",
        )
    part = target.with_suffix(".part")
    with image.open("rb") as source, part.open("wb") as sink:
        sink.truncate(size)
        _copy_data(source.fileno(), sink.fileno(), found.st_size)
    part.replace(target)


def blank(target: Path, *, size: int = SIZE) -> None:
    """A disk of ``size`` bytes with nothing on it."""
    with target.open("wb") as sink:
        sink.truncate(size)


def _copy_data(source: int, sink: int, size: int) -> None:
    end = 0
    while end < size:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            return
        end = os.lseek(source, begin, os.SEEK_HOLE)
        os.lseek(sink, begin, os.SEEK_SET)
        while begin < end:
            sent = os.sendfile(sink, source, begin, end - begin)
            if not sent:
                raise GoniError("the image became shorter while it was copied")
            begin += sent


def partitions(disk: Path) -> tuple[Partition, ...]:
    """The partitions of ``disk``, from its primary GPT (UEFI specification, section 5.3)."""
    with disk.open("rb") as source:
        source.seek(SECTOR)
        header = source.read(92)
        if header[:8] != b"EFI PART":
            raise BadInput(f"{disk.name} has no GPT")
        table, count, length = struct.unpack_from("<QII", header, 72)
        if not 128 <= length <= 4096 or count > 1024:
            raise BadInput(f"{disk.name} has an unusable GPT")
        source.seek(table * SECTOR)
        entries = [source.read(length) for _ in range(count)]
    return tuple(_partition(entry) for entry in entries if any(entry[:16]))


def _partition(entry: bytes) -> Partition:
    first, last = struct.unpack_from("<QQ", entry, 32)
    label = entry[56:128].decode("utf-16-le").rstrip("\0")
    return Partition(label, first * SECTOR, (last - first + 1) * SECTOR)


def partition(disk: Path, label: str) -> Partition:
    """The partition of ``disk`` called ``label``."""
    for one in partitions(disk):
        if one.label == label:
            return one
    raise NotFound(f"{disk.name} has no partition {label}")


def flip_bit(disk: Path, offset: int, *, bit: int = 0) -> None:
    """Turn over one bit of the byte at ``offset``; the machine must be off."""
    with disk.open("r+b") as handle:
        handle.seek(offset)
        found = handle.read(1)
        if not found:
            raise BadInput(f"{disk.name} ends before byte {offset}")
        handle.seek(offset)
        handle.write(bytes([found[0] ^ (1 << bit)]))
