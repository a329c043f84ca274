"""Copying a part of one disk to another, past the page cache of the second: what is read back after
that comes from the disk.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from goni_core.errors import DiskFull, GoniError
from goni_core.progress import Monitor

BLOCK = 4 << 20
SUPERBLOCK = struct.Struct("<8sII16s32sIIQ")
"""Up to the number of data blocks (cryptsetup, lib/verity/verity.c)."""


def data_size(tree: Path) -> int:
    """Bytes of the file system that the hash tree on ``tree`` is for; the rest of its partition is
    nothing.
    """
    with tree.open("rb") as source:
        head = source.read(SUPERBLOCK.size)
    if len(head) < SUPERBLOCK.size or not head.startswith(b"verity\0\0"):
        raise GoniError(f"{tree} holds no hash tree")
    *_, block, _hash_block, count = SUPERBLOCK.unpack(head)
    return int(block) * int(count)


def size_of(path: Path) -> int:
    """Bytes of a file or block device."""
    with path.open("rb") as source:
        return source.seek(0, os.SEEK_END)


def copy(source: Path, target: Path, size: int, monitor: Monitor) -> None:
    """Copy the first ``size`` bytes, a multiple of 4096, and have them on the disk.

    Raises :class:`GoniError` that says which disk failed.
    """
    buffer = mmap.mmap(-1, BLOCK)
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(reading, 0, size, os.POSIX_FADV_SEQUENTIAL)
        writing = _open(target)
        try:
            for at in range(0, size, BLOCK):
                view = memoryview(buffer)[: min(BLOCK, size - at)]
                _fill(reading, view, at, source)
                _put(writing, view, at, target)
                monitor.advance(len(view))
            os.fsync(writing)
        except OSError as error:
            raise GoniError(
                f"writing {target} failed: {error.strerror}", hint="take another disk"
            ) from error
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _open(target: Path) -> int:
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(target, flags | os.O_DIRECT)
    except OSError:  # a plain file on a file system without direct I/O
        return os.open(target, flags)


def _fill(handle: int, view: memoryview, at: int, source: Path) -> None:
    done = 0
    while done < len(view):
        try:
            count = os.preadv(handle, [view[done:]], at + done)
        except OSError as error:
            raise GoniError(
                f"reading {source} failed: {error.strerror}",
                hint="is the stick still plugged in? plug it in, start from it, and try again",
                code="source_failed",
            ) from error
        if not count:
            raise GoniError(f"{source} ended early", code="source_failed")
        done += count


def _put(handle: int, view: memoryview, at: int, target: Path) -> None:
    done = 0
    while done < len(view):
        count = os.pwrite(handle, view[done:], at + done)
        if not count:
            raise DiskFull(f"{target} takes no more", hint="take another disk")
        done += count


def blank(disk: Path) -> None:
    """Take both copies of the partition table off ``disk``: from here on nothing starts from it."""
    zeros = mmap.mmap(-1, 1 << 20)
    size = size_of(disk)
    handle = _open(disk)
    try:
        for at in (0, (size - len(zeros)) // 4096 * 4096):
            os.pwrite(handle, zeros, at)
        os.fsync(handle)
    except OSError as error:
        raise GoniError(f"writing {disk} failed: {error.strerror}") from error
    finally:
        os.close(handle)
