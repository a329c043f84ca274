"""What is in a folder: files as they lie there, each with what the index says of it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

from goni_core.contract import Entry
from goni_core.errors import NotFound
from goni_rag import folders, store
from goni_rag.folders import Key

MOST = 10_000
"""Entries of one folder that are shown."""


def found(root: Path, key: Key) -> Entry:
    """The file or folder ``key``; :class:`NotFound` when none is there. Blocking."""
    path = folders.place(root, *key)
    if folders.straight(root, key):
        if folders.is_folder(path):
            return Entry(key[1], "folder", 0, int(path.lstat().st_mtime), "")
        if file := folders.look(path):
            return Entry(key[1], "file", file.bytes, file.modified, tag(file.signature))
    raise NotFound("there is no such file or folder")


def inside(root: Path, key: Key, hidden: bool) -> tuple[list[Entry], bool]:
    """What is in the folder ``key``, folders first, and whether there is more than that.
    Blocking.
    """
    base = folders.place(root, *key)
    names = []
    with os.scandir(base) as entries:
        for entry in entries:
            if entry.is_symlink() or (entry.name.startswith(".") and not hidden):
                continue
            names.append(entry.name)
            if len(names) > MOST:
                break
    listed = []
    for name in sorted(names[:MOST]):
        try:
            listed.append(found(root, folders.key_of(root, base / name)))
        except (NotFound, OSError):  # gone since, or neither file nor folder
            continue
    listed.sort(key=lambda entry: (entry.kind != "folder", entry.path.casefold()))
    return listed, len(names) > MOST


def described(db: sqlite3.Connection, owner: str, entries: list[Entry]) -> list[Entry]:
    """``entries`` with what the index says of them."""
    return [_described(db, owner, entry) for entry in entries]


def tag(signature: str) -> str:
    """A file's signature without what it tells of the disk."""
    return hashlib.sha256(signature.encode()).hexdigest()[:24]


def _described(db: sqlite3.Connection, owner: str, entry: Entry) -> Entry:
    if entry.kind == "folder" or not (known := store.documents(db, owner, entry.path)):
        return entry
    document = known[0]
    return Entry(
        *(entry.path, entry.kind, entry.bytes, entry.modified, entry.tag),
        *(document.state, document.reason, document.pages),
    )
