"""What an erofs image holds, read from its metadata without mounting it or being root.

The format is fs/erofs/erofs_fs.h of Linux. Only what mkfs.erofs makes for /usr is read: 4 KiB
blocks, no extended attributes, no special files; anything else is an error, and there is no delta.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput
from goni_core.run import run
from goni_update import tree
from goni_update.tree import Entry
from image.tools import in_tree

BLOCK = 4096
_SUPER = struct.Struct("<IIIBBHQQIIII16s")
_COMPACT = struct.Struct("<HHHHIIIIHHI")
_EXTENDED = struct.Struct("<HHHHQIIIIQII")
_NAME = struct.Struct("<QHBB")
PLAIN, INLINE = 0, 2


@dataclass(frozen=True)
class _Inode:
    mode: int
    links: int
    size: int
    layout: int
    start: int
    uid: int
    gid: int
    mtime: int
    behind: int
    """Where inline data begins."""


class Erofs:
    """The image in ``path``; close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as source:
            self._data = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        self.superblock = bytes(self._data[1024 : 1024 + 128])
        head = _SUPER.unpack_from(self.superblock)
        if head[0] != 0xE0F5E1E2 or head[3] != 12:
            raise BadInput(f"{path} is not an erofs with 4 KiB blocks")
        self._root, self._time, self._meta = head[5], head[7] * 10**9 + head[8], head[10]

    def close(self) -> None:
        self._data.close()

    def entries(self) -> Iterator[Entry]:
        """Every entry, in the order of :func:`goni_update.tree.scan`."""
        yield from self._walk(self._root, "", {})

    def extract(self, folder: Path) -> None:
        """Unpack the files' contents below ``folder``."""
        words = ["fsck.erofs", f"--extract={folder.absolute()}", "--no-preserve", "--force"]
        run(in_tree([*words, self.path.absolute()]), timeout=1800)

    def _walk(self, nid: int, path: str, seen: dict[int, str]) -> Iterator[Entry]:
        inode = self._inode(nid)
        owned = (stat.S_IMODE(inode.mode), inode.uid, inode.gid, inode.mtime)
        if stat.S_ISDIR(inode.mode):
            yield Entry(path, tree.FOLDER, *owned)
            for name, child in sorted(self._names(inode)):
                text = os.fsdecode(name)
                yield from self._walk(child, f"{path}/{text}" if path else text, seen)
        elif stat.S_ISLNK(inode.mode):
            yield Entry(path, tree.LINK, *owned, link=os.fsdecode(self._content(inode)))
        elif not stat.S_ISREG(inode.mode):
            raise BadInput(f"{self.path}: {path} is a special file")
        elif inode.links > 1 and seen.setdefault(nid, path) != path:
            yield Entry(path, tree.SAME, *owned, link=seen[nid])
        else:
            yield Entry(path, tree.FILE, *owned, size=inode.size)

    def _inode(self, nid: int) -> _Inode:
        at = self._meta * BLOCK + nid * 32
        form = struct.unpack_from("<H", self._data, at)[0]
        if form & 1:
            _, attributes, mode, _, size, start, _, uid, gid, seconds, part, links = (
                _EXTENDED.unpack_from(self._data, at)
            )
            behind, mtime = at + 64, seconds * 10**9 + part
        else:
            _, attributes, mode, links, size, _, start, _, uid, gid, _ = _COMPACT.unpack_from(
                self._data, at
            )
            behind, mtime = at + 32, self._time
        if attributes:
            raise BadInput(f"{self.path} holds extended attributes")
        return _Inode(mode, links, size, form >> 1 & 7, start, uid, gid, mtime, behind)

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
