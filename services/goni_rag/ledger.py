"""What the index knows of the files in the folders, and which of them it still has to read.

Every file has its row from the moment it is noticed, ``due`` until it is read, so that the list of
what waits is as long as it has to be, survives a power cut, and takes no memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from goni_core.contract import Document
from goni_rag import folders, store
from goni_rag.folders import File, Key

LATER, SOON = 1, 2
"""How urgent a file is: found by a full check, or just brought."""
_BELOW = (
    "(:name = '' OR name = :name OR (name > :name || '/' AND name < :name || '0'))"  # 0 follows /
)


def unknown(db: sqlite3.Connection, found: Mapping[Key, File]) -> dict[Key, File]:
    """Those of ``found`` that the index doesn't know as they are."""
    return {key: file for key, file in found.items() if not _same(db, key, file)}


def renamed(db: sqlite3.Connection, root: Path, found: Mapping[Key, File]) -> set[Key]:
    """Those of ``found`` that the index knows by an earlier name."""
    return {key for key, file in found.items() if _earlier_name(db, root, file)}


def note(db: sqlite3.Connection, root: Path, found: Mapping[Key, File], urgency: int) -> None:
    """Write down files that are to be read; those that only have a new name get it at once."""
    for key, file in found.items():
        if _same(db, key, file):
            continue
        old = _earlier_name(db, root, file)
        if old:
            store.move(db, old, key)
        else:
            _wait(db, key, file, urgency)


def drop(db: sqlite3.Connection, root: Path, keys: Iterable[Key]) -> None:
    """Forget those of ``keys`` whose file isn't there (any more, at this very moment)."""
    for key in keys:
        if gone(root, key):
            store.forget(db, key)


def forget(db: sqlite3.Connection, keys: Iterable[Key]) -> None:
    """Forget documents whose files were just deleted."""
    for key in keys:
        store.forget(db, key)


def gone(root: Path, key: Key) -> bool:
    """Whether no document is where ``key`` says."""
    return (
        folders.hidden(key[1])
        or not folders.straight(root, key)
        or folders.look(folders.place(root, *key)) is None
    )


def below(db: sqlite3.Connection, key: Key, after: str, most: int) -> list[Key]:
    """The next documents at or below ``key`` after the name ``after``, by name."""
    rows = db.execute(
        f"SELECT owner, name FROM documents WHERE owner = :owner AND name > :after AND {_BELOW}"  # noqa: S608 - a constant
        " ORDER BY name LIMIT :most",
        {"owner": key[0], "name": key[1], "after": after, "most": most},
    )
    return [(owner, name) for owner, name in rows]


def owners(db: sqlite3.Connection) -> list[str]:
    """Everybody of whom there are documents."""
    return [row[0] for row in db.execute("SELECT DISTINCT owner FROM documents")]


def count(db: sqlite3.Connection, owner: str) -> int:
    """How many documents ``owner`` has."""
    row = db.execute("SELECT COUNT(*) FROM documents WHERE owner = ?", (owner,)).fetchone()
    return int(row[0])


def due(db: sqlite3.Connection, most: int) -> list[Key]:
    """What to read next, the most urgent first."""
    rows = db.execute(
        "SELECT owner, name FROM documents WHERE due ORDER BY due DESC, id LIMIT ?", (most,)
    )
    return [(owner, name) for owner, name in rows]


def move_all(db: sqlite3.Connection, key: Key, to: Key) -> None:
    """The file or folder ``key`` is called ``to`` from now on."""
    while keys := below(db, key, "", folders.BATCH):
        for owner, name in keys:
            store.move(db, (owner, name), (to[0], to[1] + name[len(key[1]) :]))


def listed(
    db: sqlite3.Connection, key: Key, after: str, most: int, state: str = ""
) -> list[Document]:
    """Documents at or below the folder ``key``, by name; only those of ``state`` if given."""
    where = f"{_BELOW} AND name > :after" + (" AND state = :state" if state else "")
    values = {"name": key[1], "after": after, "state": state}
    return store.listed(db, key[0], where, values, most)


def waiting(db: sqlite3.Connection, owners: Sequence[str]) -> tuple[int, int, int]:
    """How many of ``owners``' (two) documents wait to be read, how many can't be, and how many
    passages wait for a vector.
    """
    first, second = owners
    row = db.execute(
        "SELECT (SELECT COUNT(*) FROM documents WHERE due AND owner IN (:a, :b)),"
        " (SELECT COUNT(*) FROM documents WHERE state = 'unreadable' AND owner IN (:a, :b)),"
        " (SELECT COUNT(*) FROM chunks WHERE model = 0 AND twin IS NULL AND owner IN (:a, :b))",
        {"a": first, "b": second},
    ).fetchone()
    return int(row[0]), int(row[1]), int(row[2])


def _same(db: sqlite3.Connection, key: Key, file: File) -> bool:
    known = store.known_one(db, key)
    if known is None:
        return False
    return (known.signature, known.version) == (file.signature, store.INDEX_VERSION)


def _earlier_name(db: sqlite3.Connection, root: Path, file: File) -> Key | None:
    """What the index knows this very file as, if it isn't there any more."""
    rows = db.execute(
        "SELECT owner, name FROM documents WHERE signature = ? LIMIT 20", (file.signature,)
    ).fetchall()
    for owner, name in rows:
        there = folders.look(folders.place(root, owner, name))
        if there is None or there.signature != file.signature:
            return owner, name
    return None


def _wait(db: sqlite3.Connection, key: Key, file: File, urgency: int) -> None:
    """The old rows go on answering until the new ones are there."""
    db.execute(
        "INSERT INTO documents (owner, name, kind, modified, bytes, sha256, signature, extractor,"
        " chunker, pages, state, reason, due)"
        " VALUES (?, ?, ?, ?, ?, '', '', '', '', 0, 'waiting', '', ?)"
        " ON CONFLICT (owner, name) DO UPDATE SET due = MAX(due, excluded.due)",
        (*key, store.kind(key[1]), file.modified, file.bytes, urgency),
    )
