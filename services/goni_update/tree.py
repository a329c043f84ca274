"""/usr as a list of entries: what a delta says about the files, beside their bytes.

The same list comes from a mounted /usr on the node and from the file system's image on the release
side, so that a delta can refer to it. What only root may look into is left out on both sides:
whoever rebuilds a /usr doesn't have to be root.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput

FILE, FOLDER, LINK, SAME = "f", "d", "l", "h"
"""Kinds: a file, a folder, a symbolic link, another name of an earlier file."""
MOST = 2_000_000


@dataclass(frozen=True)
class Entry:
    """One name. ``path`` is relative to /usr ("" is /usr itself), ``mtime`` in ns, ``size`` that
    of a file; ``link`` where a symbolic link points or which path is the same file.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    link: str = ""

    @property
    def readable(self) -> bool:
        """Whether everybody may read (and, for a folder, enter) it."""
        wanted = 0o005 if self.kind == FOLDER else 0o004
        return self.mode & wanted == wanted


def scan(root: Path) -> Iterator[Entry]:
    """The entries below ``root``, folders before what is in them, each folder's by name."""
    seen: dict[tuple[int, int], str] = {}
    yield from _scan(root, "", seen)


def _scan(root: Path, path: str, seen: dict[tuple[int, int], str]) -> Iterator[Entry]:
    entry = _entry(root, path, seen)
    yield entry
    if entry.kind == FOLDER and entry.readable:
        for name in sorted(os.listdir(root / path), key=os.fsencode):  # noqa: PTH208 - names only
            yield from _scan(root, f"{path}/{name}" if path else name, seen)


def _entry(root: Path, path: str, seen: dict[tuple[int, int], str]) -> Entry:
    found = (root / path).lstat()
    owned = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns)
    if stat.S_ISDIR(found.st_mode):
        return Entry(path, FOLDER, *owned)
    if stat.S_ISLNK(found.st_mode):
        return Entry(path, LINK, *owned, link=os.readlink(root / path))  # noqa: PTH115 - text
    if not stat.S_ISREG(found.st_mode):
        raise BadInput("a special file in /usr", code="odd_file")
    if found.st_nlink > 1:
        first = seen.setdefault((found.st_dev, found.st_ino), path)
        if first != path:
            return Entry(path, SAME, *owned, link=first)
    return Entry(path, FILE, *owned, size=found.st_size)


def visible(entries: Iterable[Entry]) -> Iterator[Entry]:
    """``entries`` without what is in folders that not everybody may look into: as
    :func:`scan` finds them.
    """
    hidden: list[str] = []
    for entry in entries:
        if any(entry.path.startswith(folder) for folder in hidden):
            continue
        if entry.kind == FOLDER and not entry.readable:
            hidden.append(f"{entry.path}/")
        yield entry


def packed(entries: Iterable[Entry]) -> bytes:
    """One JSON array per line; the same bytes for the same entries."""
    return b"".join(
        json.dumps(
            [one.path, one.kind, one.mode, one.uid, one.gid, one.mtime, one.size, one.link],
            separators=(",", ":"),
        ).encode()
        + b"\n"
        for one in entries
    )


def unpacked(data: bytes) -> Iterator[Entry]:
    """The entries in ``data``; :class:`BadInput` for anything that can't be a /usr."""
    for number, line in enumerate(data.splitlines()):
        if number >= MOST:
            raise BadInput("too many entries")
        try:
            path, kind, mode, uid, gid, mtime, size, link = json.loads(line)
        except ValueError as error:
            raise BadInput("an entry of the list of files is malformed") from error
        texts = isinstance(path, str) and isinstance(link, str)
        numbers = all(type(one) is int and one >= 0 for one in (mode, uid, gid, mtime, size))
        if not texts or not numbers or kind not in (FILE, FOLDER, LINK, SAME) or mode > 0o7777:
            raise BadInput("an entry of the list of files is malformed")
        parts = path.split("/")
        if (path and ("" in parts or ".." in parts or "." in parts)) or "\0" in path + link:
            raise BadInput("a path in the list of files leaves /usr")
        yield Entry(path, kind, mode, uid, gid, mtime, size, link)
