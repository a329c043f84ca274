"""Where documents lie: ``folders/<owner>/<name>`` below the service's state.

The files are the truth and the index follows them: a :class:`File` carries a signature (size, time,
inode) that tells cheaply whether a file is still the one that was indexed. Symbolic links, devices
and names that no upload could have made are left alone and never read.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core import files
from goni_core.errors import BadInput

OWNER = re.compile(r"[a-z0-9-]{1,64}")
SHARED = "shared"
"""Owner id of the household's shared folder, which every person's search includes."""

Key = tuple[str, str]
"""Owner and name: what a document is known by."""


@dataclass(frozen=True)
class File:
    """A document as it lies in its folder."""

    path: Path
    bytes: int
    signature: str
    modified: int = 0
    """Seconds since 1970."""


def owner_id(value: str) -> str:
    """``value`` if it is an owner's id; :class:`BadInput` otherwise."""
    if not OWNER.fullmatch(value):
        raise BadInput("that is not an owner's id", code="bad_owner")
    return value


def folder(root: Path, owner: str) -> Path:
    """The folder of ``owner``, made when it isn't there yet."""
    path = root / owner_id(owner)
    if not path.is_dir():
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        files.sync_folder(root)
    return path


def place(root: Path, owner: str, name: str) -> Path:
    """Where ``owner``'s document ``name`` is or would be."""
    return root / owner_id(owner) / files.safe_name(name)


def look(path: Path) -> File | None:
    """The file at ``path``, or None when no regular file is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    signature = f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"
    return File(path, found.st_size, signature, int(found.st_mtime))


def remove(path: Path) -> bool:
    """Delete the file at ``path`` so that a power cut doesn't bring it back; False if none was
    there.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    files.sync_folder(path.parent)
    return True


def scan(root: Path) -> dict[Key, File]:
    """Every document of every owner."""
    return {key: file for key, file in _walk(root) if file is not None}


def sweep(root: Path) -> None:
    """Remove uploads that an earlier process left unfinished."""
    for owner in _owners(root):
        files.sweep(owner)


def digest(path: Path) -> str:
    """SHA-256 of the file at ``path``, in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Write the file at ``path`` through to the disk; blocking."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _owners(root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        if OWNER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield path


def _walk(root: Path) -> Iterator[tuple[Key, File | None]]:
    for owner in _owners(root):
        for path in owner.iterdir():
            try:
                files.safe_name(path.name)
            except (BadInput, UnicodeError):
                continue
            yield (owner.name, path.name), look(path)
