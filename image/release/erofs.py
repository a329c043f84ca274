"""What an erofs image holds, read from its metadata without mounting it or being root.

The format is fs/erofs/erofs_fs.h of Linux. Only what mkfs.erofs makes for /usr is read: 4 KiB
blocks, no extended attributes, no special files; anything else is an error, and there is no delta.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput
from goni_core.run import run
from image.tools import in_tree

BLOCK = 4096
FILE, FOLDER, LINK, SAME = "f", "d", "l", "h"
"""Kinds: a file, a folder, a symbolic link, another name of an earlier file."""
_SUPER = struct.Struct("<IIIBBHQQIIII16s")
_COMPACT = struct.Struct("<HHHHIIIIHHI")
_EXTENDED = struct.Struct("<HHHHQIIIIQII")
_NAME = struct.Struct("<QHBB")
PLAIN, INLINE = 0, 2


@dataclass(frozen=True)
class Entry:
    """One name. ``path`` is relative to /usr ("" is /usr itself), ``size`` that of a file."""

    path: str
    kind: str
    mode: int
    size: int = 0

    @property
    def readable(self) -> bool:
        """Whether everybody may read (and, for a folder, enter) it."""
        wanted = 0o005 if self.kind == FOLDER else 0o004
        return self.mode & wanted == wanted


def visible(entries: Iterable[Entry]) -> Iterator[Entry]:
    """``entries`` without what only root may look into: a node rebuilds /usr without being root."""
    hidden: list[str] = []
    for entry in entries:
        if any(entry.path.startswith(folder) for folder in hidden):
            continue
        if entry.kind == FOLDER and not entry.readable:
            hidden.append(f"{entry.path}/")
        if entry.readable:
            yield entry


@dataclass(frozen=True)
class _Inode:
    mode: int
    links: int
    size: int
    layout: int
    start: int
    behind: int
    """Where inline data begins."""


class Erofs:
    """The image in ``path``; close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as source:
            self._data = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        head = _SUPER.unpack_from(self._data, 1024)
        if head[0] != 0xE0F5E1E2 or head[3] != 12:
            raise BadInput(f"{path} is not an erofs with 4 KiB blocks")
        self._root, self._meta = head[5], head[10]

    def close(self) -> None:
        self._data.close()

    def entries(self) -> Iterator[Entry]:
        """Every entry, folders before what is in them, each folder's by name."""
        yield from self._walk(self._root, "", {})

    def extract(self, folder: Path) -> None:
        """Unpack the files' contents below ``folder``."""
        words = ["fsck.erofs", f"--extract={folder.absolute()}", "--no-preserve", "--force"]
        run(in_tree([*words, self.path.absolute()]), timeout=1800)

    def _walk(self, nid: int, path: str, seen: dict[int, str]) -> Iterator[Entry]:
        inode = self._inode(nid)
        mode = stat.S_IMODE(inode.mode)
        if stat.S_ISDIR(inode.mode):
            yield Entry(path, FOLDER, mode)
            for name, child in sorted(self._names(inode)):
                text = os.fsdecode(name)
                yield from self._walk(child, f"{path}/{text}" if path else text, seen)
        elif stat.S_ISLNK(inode.mode):
            yield Entry(path, LINK, mode)
        elif not stat.S_ISREG(inode.mode):
            raise BadInput(f"{self.path}: {path} is a special file")
        elif inode.links > 1 and seen.setdefault(nid, path) != path:
            yield Entry(path, SAME, mode)
        else:
            yield Entry(path, FILE, mode, inode.size)

    def _inode(self, nid: int) -> _Inode:
        at = self._meta * BLOCK + nid * 32
        form = struct.unpack_from("<H", self._data, at)[0]
        if form & 1:
            _, attributes, mode, _, size, start, _, _, _, _, _, links = _EXTENDED.unpack_from(
                self._data, at
            )
            behind = at + 64
        else:
            _, attributes, mode, links, size, _, start, _, _, _, _ = _COMPACT.unpack_from(
                self._data, at
            )
            behind = at + 32
        if attributes:
            raise BadInput(f"{self.path} holds extended attributes")
        return _Inode(mode, links, size, form >> 1 & 7, start, behind)

    def _content(self, inode: _Inode) -> bytes:
        if inode.layout == PLAIN:
            return bytes(self._data[inode.start * BLOCK : inode.start * BLOCK + inode.size])
        if inode.layout != INLINE:
            raise BadInput(f"{self.path}: a folder or link is stored in an unknown way")
        whole = inode.size // BLOCK * BLOCK
        tail = self._data[inode.behind : inode.behind + inode.size - whole]
        return bytes(self._data[inode.start * BLOCK : inode.start * BLOCK + whole]) + bytes(tail)

    def _names(self, folder: _Inode) -> Iterator[tuple[bytes, int]]:
        content = self._content(folder)
        for start in range(0, len(content), BLOCK):
            block = content[start : start + BLOCK]
            count = _NAME.unpack_from(block)[1] // _NAME.size
            entries = [_NAME.unpack_from(block, at * _NAME.size) for at in range(count)]
            ends = [entry[1] for entry in entries[1:]] + [len(block)]
            for (nid, name_at, _, _), end in zip(entries, ends, strict=True):
                name = block[name_at:end].split(b"\0")[0]
                if name not in (b".", b".."):
                    yield name, nid
