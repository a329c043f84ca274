"""The kernel's inotify (inotify(7)), as far as ``watch`` needs it.

Called through the C library, since the libraries in reach hide what matters most here: watchdog
drops the kernel's word that events were lost, and holds every event back for half a second.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLOSE_WRITE = 0x00000008
MOVED_FROM = 0x00000040
MOVED_TO = 0x00000080
CREATE = 0x00000100
DELETE = 0x00000200
OVERFLOW = 0x00004000
IGNORED = 0x00008000
IS_FOLDER = 0x40000000
_ONLY_FOLDERS = 0x01000000
_NO_LINKS = 0x02000000
_NO_UNLINKED = 0x04000000
WANTED = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
HEAD = struct.Struct("iIII")
READ = 1 << 16
"""Bytes of events that are read at once."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Event:
    """Something happened to ``name`` in the folder that ``watch`` stands for."""

    watch: int
    mask: int
    name: str

    @property
    def is_folder(self) -> bool:
        return bool(self.mask & IS_FOLDER)


class Inotify:
    """One inotify instance; ``fd`` becomes readable when there are events. Close it."""

    def __init__(self) -> None:
        self.fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, folder: Path) -> int:
        """Watch a folder, not what is below it; the number that its events carry. :class:`OSError`
        ENOSPC when the kernel has no more watches to give.
        """
        mask = WANTED | _ONLY_FOLDERS | _NO_LINKS | _NO_UNLINKED
        return _checked(_libc.inotify_add_watch(self.fd, os.fsencode(folder), mask))

    def remove(self, watch: int) -> None:
        """Stop watching; nothing when the kernel did already."""
        _libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[Event]:
        """What happened since, without waiting."""
        try:
            return list(parsed(os.read(self.fd, READ)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        os.close(self.fd)


def parsed(data: bytes) -> Iterator[Event]:
    """The events in a buffer as the kernel fills it."""
    at = 0
    while at < len(data):
        watch, mask, _cookie, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        yield Event(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0")))
        at += length


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
