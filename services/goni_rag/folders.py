"""Where documents lie: ``folders/<owner>/<path>`` below the service's state.

The files are the truth and the index follows them: a :class:`File` carries a signature (size, time,
inode) that tells cheaply whether a file is still the one that was indexed, wherever it was moved.
Symbolic links and devices are never read, hidden files (a leading dot: the litter of other systems)
are left alone.

A document's name is its path below the owner's folder, as text: Linux allows any bytes in names,
JSON and SQLite don't, so bytes that aren't UTF-8 are written as U+FFFD and two hex digits, and a
U+FFFD itself too, which makes the way back exact (:func:`text_of`, :func:`path_of`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core import files
from goni_core.errors import BadInput, Conflict

OWNER = re.compile(r"[a-z0-9-]{1,64}")
SHARED = "shared"
"""Owner id of the household's shared folder, which every person's search includes."""
LONGEST_NAME = 255
"""Bytes of one part of a path, as in Linux (limits.h)."""
LONGEST_PATH = 2000
DEEPEST = 40
"""Folders below one another."""
BATCH = 500
"""Files that :func:`walk` gives at once."""

Key = tuple[str, str]
"""Owner and name: what a document is known by. The name "" is the owner's whole folder."""

_ODD = re.compile("[\udc80-\udcff\ufffd]+")
_WRITTEN = re.compile("(?:\ufffd[0-9a-f]{2})+")


@dataclass(frozen=True)
class File:
    """A document as it lies in its folder; ``modified`` in seconds since 1970."""

    path: Path
    bytes: int
    signature: str
    modified: int = 0


def owner_id(value: str) -> str:
    """``value`` if it is an owner's id; :class:`BadInput` otherwise."""
    if not OWNER.fullmatch(value):
        raise BadInput("that is not an owner's id", code="bad_owner")
    return value


def text_of(path: str) -> str:
    """A path as Python has it from the system (surrogates for odd bytes) as plain text."""
    return _ODD.sub(lambda odd: "".join(f"\ufffd{byte:02x}" for byte in os.fsencode(odd[0])), path)


def path_of(text: str) -> str:
    """What :func:`text_of` made ``text`` from."""
    return _WRITTEN.sub(lambda odd: os.fsdecode(bytes.fromhex(odd[0].replace("\ufffd", ""))), text)


def existing(name: str) -> str:
    """``name`` if a file below an owner's folder could have it; :class:`BadInput` otherwise."""
    parts = name.split("/")
    if (
        len(name) > LONGEST_PATH
        or len(parts) > DEEPEST
        or "\x00" in name
        or any(part in ("", ".", "..") for part in parts)
        or any(len(os.fsencode(path_of(part))) > LONGEST_NAME for part in parts)
        or text_of(path_of(name)) != name
    ):
        raise BadInput(
            "that is not a usable path", hint="folders and names, with / between", code="bad_name"
        )
    return name


def fresh(name: str, *, dots: bool = False) -> str:
    """``name`` in one Unicode form (NFC; Finder sends NFD) if new files may have it;
    :class:`BadInput` otherwise. With ``dots`` leading dots are allowed: Finder insists on such
    files.
    """
    name = unicodedata.normalize("NFC", existing(name.replace("\ufffd", "\0")))
    for part in name.split("/"):
        files.safe_name((part.lstrip(".") or part) if dots else part)
    return existing(name)


def hidden(name: str) -> bool:
    """Whether a part of the path begins with a dot: never listed, never indexed."""
    return name.startswith(".") or "/." in name


def folder(root: Path, owner: str) -> Path:
    """The folder of ``owner``, made when it isn't there yet."""
    path = root / owner_id(owner)
    if not path.is_dir():
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        files.sync_folder(root)
    return path


def place(root: Path, owner: str, name: str) -> Path:
    """Where ``owner``'s document or folder ``name`` is or would be."""
    base = root / owner_id(owner)
    return base / path_of(existing(name)) if name else base


def spelled(root: Path, key: Key) -> Key:
    """``key`` as it is spelled on the disk: as it stands if it is there, else in the form (NFC) in
    which :func:`fresh` would have put it there.
    """
    if os.path.lexists(place(root, *key)):
        return key
    return key[0], unicodedata.normalize("NFC", key[1])


def make(root: Path, owner: str, name: str) -> Path:
    """The folder ``name`` of ``owner`` and all above it, made when they aren't there;
    :class:`Conflict` when a file is in the way.
    """
    path = folder(root, owner)
    for part in path_of(name).split("/") if name else ():
        path = path / part
        try:
            path.mkdir(mode=0o700)
            files.sync_folder(path.parent)
        except FileExistsError:
            if not is_folder(path):
                raise Conflict("a file has the name of that folder", code="exists") from None
    return path


def is_folder(path: Path) -> bool:
    """Whether a real folder is at ``path``, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def look(path: Path) -> File | None:
    """The file at ``path``, or None when no regular file is there."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _file(path, found)


def straight(root: Path, key: Key) -> bool:
    """Whether no folder on the way to ``key`` is a symbolic link."""
    path = place(root, *key)
    while path != root:
        if path.is_symlink():
            return False
        path = path.parent
    return True


def empty(folder: Path) -> None:
    """Remove all that is in ``folder``."""
    for path in folder.iterdir():
        if is_folder(path):
            shutil.rmtree(path)
        else:
            path.unlink()


def walk(
    root: Path, key: Key, enter: Callable[[Path], None] = lambda folder: None
) -> Iterator[dict[Key, File]]:
    """Every document at or below ``key``, some at a time; ``enter`` is called with each folder
    before it is read. What disappears meanwhile is left out.
    """
    start = place(root, *key)
    batch: dict[Key, File] = {}
    for path in _regular(start, enter) if straight(root, key) else ():
        file = look(path)
        if file is None or path.parent == root:
            continue
        batch[key_of(root, path)] = file
        if len(batch) == BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def key_of(root: Path, path: Path) -> Key:
    """The key of the file at ``path``, which is below ``root``."""
    owner, _, name = str(path.relative_to(root)).partition("/")
    return owner, text_of(name)


def owners(root: Path) -> list[str]:
    """Everybody who has a folder."""
    return sorted(
        path.name for path in root.iterdir() if OWNER.fullmatch(path.name) and is_folder(path)
    )


def digest(path: Path) -> str:
    """SHA-256 of the file at ``path``, in hex."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Write the file at ``path`` through to the disk; blocking."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _file(path: Path, found: os.stat_result) -> File | None:
    if not stat.S_ISREG(found.st_mode):
        return None
    signature = f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"
    return File(path, found.st_size, signature, int(found.st_mtime))


def _regular(start: Path, enter: Callable[[Path], None]) -> Iterator[Path]:
    """Paths of the regular files at or below ``start``, without reading a folder into memory."""
    waiting = [start] if is_folder(start) else []
    if not waiting:
        yield start
    while waiting:
        at = waiting.pop()
        enter(at)
        try:
            with os.scandir(at) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        yield Path(entry.path)
        except OSError:  # gone, or replaced by something else, since it was seen
            continue
