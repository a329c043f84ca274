"""The index's rows: documents, their passages and vectors; every statement that changes them.

Functions take a connection inside a transaction (``connections``), so each is whole or not at all.
Every read for a person names the owner in the statement itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goni_core.contract import Document
from goni_rag.chunk import Chunk, embedded_text
from goni_rag.embed import REFUSED, Vector
from goni_rag.folders import Key

INDEX_VERSION = 3
"""Of extractors, chunker and embedding model together: rows of another are made anew."""
WAITING = "found by its words for now, by its meaning soon"


@dataclass(frozen=True)
class Entry:
    """A document as it is to be listed."""

    owner: str
    name: str
    bytes: int
    sha256: str
    signature: str
    pages: int
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Known:
    """What the index remembers of a file, to tell whether it changed."""

    sha256: str
    signature: str
    version: int


@dataclass(frozen=True)
class Totals:
    """How much there is, over all owners."""

    documents: int
    unreadable: int
    chunks: int
    pending: int


def put(
    db: sqlite3.Connection,
    entry: Entry,
    chunks: Sequence[Chunk],
    vectors: Sequence[Vector | None],
) -> None:
    """Replace all that is known of a document. A vector that is None is waited for."""
    forget(db, (entry.owner, entry.name))
    document = db.execute(
        "INSERT INTO documents (owner, name, bytes, sha256, signature, version, pages, state,"
        " reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(entry.owner, entry.name, entry.bytes, entry.sha256, entry.signature),
            *(INDEX_VERSION, entry.pages, entry.state, entry.reason),
        ),
    ).lastrowid
    for chunk, vector in zip(chunks, vectors, strict=True):
        row = db.execute(
            "INSERT INTO chunks (document, owner, page, start, stop, pending)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (document, entry.owner, chunk.page, chunk.start, chunk.stop, int(vector is None)),
        ).lastrowid
        db.execute(
            "INSERT INTO lexical (rowid, name, heading, text) VALUES (?, ?, ?, ?)",
            (row, entry.name, chunk.heading, chunk.text),
        )
        if vector:
            _add_vector(db, row, entry.owner, vector)


def forget(db: sqlite3.Connection, key: Key) -> bool:
    """Remove a document and all that came from it; False if it wasn't there."""
    row = db.execute("SELECT id FROM documents WHERE owner = ? AND name = ?", key).fetchone()
    if row is None:
        return False
    ids = db.execute("SELECT id FROM chunks WHERE document = ?", row).fetchall()
    db.executemany("DELETE FROM vectors WHERE chunk = ?", ids)
    db.executemany("DELETE FROM lexical WHERE rowid = ?", ids)
    db.execute("DELETE FROM chunks WHERE document = ?", row)
    db.execute("DELETE FROM documents WHERE id = ?", row)
    return True


def sign(db: sqlite3.Connection, key: Key, signature: str) -> None:
    """The file was replaced by one with the same content."""
    db.execute("UPDATE documents SET signature = ? WHERE owner = ? AND name = ?", (signature, *key))


def known(db: sqlite3.Connection) -> dict[Key, Known]:
    """What is remembered of every file, for comparing with the folders."""
    rows = db.execute("SELECT owner, name, sha256, signature, version FROM documents")
    return {(owner, name): Known(*rest) for owner, name, *rest in rows}


def known_one(db: sqlite3.Connection, key: Key) -> Known | None:
    """What is remembered of one file."""
    row = db.execute(
        "SELECT sha256, signature, version FROM documents WHERE owner = ? AND name = ?", key
    ).fetchone()
    return Known(*row) if row else None


def documents(db: sqlite3.Connection, owner: str, name: str | None = None) -> list[Document]:
    """``owner``'s documents by name, or the one called ``name``."""
    rows = db.execute(
        "SELECT d.name, d.bytes, d.sha256, d.pages, COUNT(c.id), d.state, d.reason,"
        " COALESCE(SUM(c.pending), 0)"
        " FROM documents d LEFT JOIN chunks c ON c.document = d.id AND c.owner = d.owner"
        " WHERE d.owner = :owner AND (:name IS NULL OR d.name = :name)"
        " GROUP BY d.id ORDER BY d.name",
        {"owner": owner, "name": name},
    )
    return [_document(*row) for row in rows]


def _document(
    name: str, size: int, sha256: str, pages: int, chunks: int, state: str, reason: str, wait: int
) -> Document:
    reasons = [reason] if reason else []
    if wait:
        reasons.append(WAITING)
    return Document(name, size, sha256, pages, chunks, state, "; ".join(reasons))


def pending(db: sqlite3.Connection, most: int) -> dict[int, str]:
    """At most ``most`` passages without a vector: their ids and what is to be embedded."""
    rows = db.execute(
        "SELECT c.id, d.name, l.heading, l.text FROM chunks c"
        " JOIN documents d ON d.id = c.document JOIN lexical l ON l.rowid = c.id"
        " WHERE c.pending ORDER BY c.id LIMIT ?",
        (most,),
    )
    return {chunk: embedded_text(name, heading, text) for chunk, name, heading, text in rows}


def fill(db: sqlite3.Connection, vectors: Mapping[int, Vector]) -> None:
    """Add vectors that came later, except for passages that are gone by now."""
    for chunk, vector in vectors.items():
        row = db.execute("SELECT owner FROM chunks WHERE id = ? AND pending", (chunk,)).fetchone()
        if row is None:
            continue
        db.execute("UPDATE chunks SET pending = 0 WHERE id = ?", (chunk,))
        if vector != REFUSED:
            _add_vector(db, chunk, row[0], vector)


def totals(db: sqlite3.Connection) -> Totals:
    """How much there is, over all owners."""
    row = db.execute(
        "SELECT (SELECT COUNT(*) FROM documents),"
        " (SELECT COUNT(*) FROM documents WHERE state = 'unreadable'),"
        " (SELECT COUNT(*) FROM chunks), (SELECT COUNT(*) FROM chunks WHERE pending)"
    ).fetchone()
    return Totals(*row)


def damage(db: sqlite3.Connection) -> str:
    """What SQLite finds wrong with the file, "" when nothing; reads all of it."""
    # SQLite checks FTS5 too since 3.44, but against what this connection last saw of it, and then
    # calls what others have written since malformed. A query makes it look again.
    db.execute("SELECT rowid FROM lexical WHERE lexical MATCH 'a' LIMIT 1").fetchall()
    found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if found == "ok" else found


def _add_vector(db: sqlite3.Connection, chunk: int | None, owner: str, vector: Vector) -> None:
    db.execute(
        "INSERT INTO vectors (chunk, owner, embedding) VALUES (?, ?, ?)", (chunk, owner, vector)
    )
