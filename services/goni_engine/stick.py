"""What is on a stick that is plugged into the node, and safe handles of its files.

The system mounts a stick read-only, without programs, devices and symbolic links, in a folder of
its own (71-goni-stick.rules). What is on it is anybody's: nothing here follows a link, waits for a
pipe, or looks further than a few folders and files.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from goni_core.contract import Stick, StickFile
from goni_core.errors import GoniError, NotFound, Unavailable
from goni_engine.store import SUFFIX, model_id

STICKS, FOLDERS, ENTRIES, FILES = 16, 200, 5000, 100
"""What is looked at at most: sticks; on each of them folders, entries, model files."""
DEEP = 3
"""Folders below each other."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ESCAPED = re.compile(r"(?:\\x[0-9a-f]{2})+")


def listed(folder: Path) -> list[Stick]:
    """The sticks below ``folder`` that have something on them; slow ones take a while."""
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir())[:STICKS]
    except OSError:
        return []
    sticks = (_stick(path) for path in found if not path.is_symlink())
    return [stick for stick in sticks if stick]


def _stick(folder: Path) -> Stick | None:
    """What is on a stick; None when there is nothing, as where none is mounted any more."""
    try:
        with os.scandir(folder) as anything:
            if next(anything, None) is None:
                return None
    except OSError:
        return None
    found: list[StickFile] = []
    for entry in _entries(folder):
        if entry.name.lower().endswith(SUFFIX) and len(found) < FILES:
            found.append(_file(folder, entry))
    return Stick(folder.name, label_of(folder.name), tuple(sorted(found, key=lambda one: one.path)))


def label_of(folder: str) -> str:
    """The stick's own name in that of its folder, ``{device}:{label as udev escapes it}``."""

    def plain(escaped: re.Match[str]) -> str:
        return bytes.fromhex(escaped[0].replace(r"\x", "")).decode("utf-8", errors="replace")

    device, _, label = folder.partition(":")
    text = "".join(letter for letter in _ESCAPED.sub(plain, label) if letter.isprintable())
    return text.strip()[:64] or device


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The plain files below ``folder`` that can be reached within the limits; the empty folders
    and other things on the way count against them.
    """
    waiting, left = [(folder, 0)], ENTRIES
    for visited, (place, depth) in enumerate(waiting):
        if visited >= FOLDERS:
            return
        try:
            with os.scandir(place) as found:
                for entry in found:
                    left -= 1
                    if left < 0:
                        return
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False) and depth < DEEP:
                        waiting.append((Path(entry.path), depth + 1))
                    elif entry.is_file(follow_symlinks=False):
                        yield entry
        except OSError:
            continue  # a damaged folder, or the stick has gone


def _file(folder: Path, entry: os.DirEntry[str]) -> StickFile:
    path = Path(entry.path).relative_to(folder).as_posix()
    try:
        path.encode()
    except UnicodeEncodeError:
        return StickFile(ascii(path)[1:-1], 0, "its name can't be read")
    try:
        handle = opened(folder.parent, folder.name, path)
    except NotFound:
        return StickFile(path, 0, "it can't be read")
    try:
        size = os.fstat(handle).st_size
        model_id(entry.name)
        start = read(handle, 4, 0)
    except GoniError as error:
        return StickFile(path, size, error.message)
    finally:
        os.close(handle)
    return StickFile(path, size, "" if start == b"GGUF" else "this is not a GGUF file")


def opened(folder: Path, stick: str, path: str) -> int:
    """A handle of the file, reached from ``folder`` name by name so that no link on the way is
    followed; :class:`NotFound` for anything but a plain file.
    """
    names = [stick, *path.split("/")]
    if (
        any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names)
        or len(names) > DEEP + 2
    ):
        raise _gone()
    try:
        handle = os.open(folder, _FLAGS | os.O_DIRECTORY)
        for place, name in enumerate(names, 1):
            more = os.O_DIRECTORY if place < len(names) else 0
            try:
                inner = os.open(name, _FLAGS | more, dir_fd=handle)
            finally:
                os.close(handle)
            handle = inner
    except (OSError, ValueError) as error:
        raise _gone() from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _gone()
    return handle


def read(handle: int, size: int, offset: int) -> bytes:
    """A piece of a file on a stick; :class:`Unavailable` when the stick has gone."""
    try:
        return os.pread(handle, size, offset)
    except OSError as error:
        raise pulled() from error


def _gone() -> NotFound:
    return NotFound("there is no such file on a stick", hint="is the stick still plugged in?")


def pulled() -> Unavailable:
    return Unavailable(
        "the stick was pulled out, or can't be read any further",
        hint="plug it in again and bring the file in again; it goes on where it was",
        code="stick_gone",
    )
