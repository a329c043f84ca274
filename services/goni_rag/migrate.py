"""An index of version 1 brought to the present tables, in one transaction, so that its documents
stay searchable while whatever is out of date is made anew.

Version 1 kept vectors as 32-bit floats in sqlite-vec, and passages' text in FTS5.
"""

from __future__ import annotations

import sqlite3

from goni_rag import store
from goni_rag.chunk import Chunk
from goni_rag.embed import REFUSED

TABLES = ("documents", "chunks", "lexical")
DOCUMENTS = """
SELECT id, owner, name, bytes, sha256, signature, pages, state, reason FROM documents_1
"""
CHUNKS = """
SELECT l.text, c.page, l.heading, c.start, c.stop, v.embedding, c.pending FROM chunks_1 c
JOIN lexical_1 l ON l.rowid = c.id LEFT JOIN vectors_1 v ON v.chunk = c.id
WHERE c.document = ? ORDER BY c.id
"""


def from_1(db: sqlite3.Connection, schema: str) -> None:
    """Replace version 1's tables by those of ``schema``, with the same documents in them."""
    db.execute("PRAGMA legacy_alter_table = ON")
    db.execute("BEGIN IMMEDIATE")
    try:
        for table in TABLES:
            db.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
        db.execute("CREATE TABLE vectors_1 (chunk INTEGER PRIMARY KEY, embedding BLOB)")
        db.execute("INSERT INTO vectors_1 SELECT chunk, embedding FROM vectors")
        for gone in ("TABLE vectors", "INDEX chunks_document", "INDEX chunks_pending"):
            db.execute(f"DROP {gone}")
        for statement in _statements(schema):
            db.execute(statement)
        _copy(db)
        for table in ("chunks_1", "documents_1", "lexical_1", "vectors_1"):
            db.execute(f"DROP TABLE {table}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    finally:
        db.execute("PRAGMA legacy_alter_table = OFF")


def _copy(db: sqlite3.Connection) -> None:
    for document, owner, name, size, sha256, signature, *rest in db.execute(DOCUMENTS).fetchall():
        pages, state, reason = rest
        entry = store.Entry(owner, name, size, sha256, signature, pages, state, reason)
        rows = db.execute(CHUNKS, (document,)).fetchall()
        chunks = [Chunk(*row[:5]) for row in rows]
        vectors = [row[5] or (None if row[6] else REFUSED) for row in rows]
        store.put(db, entry, chunks, vectors)


def _statements(schema: str) -> list[str]:
    """The statements of ``schema``; ``executescript`` would end the transaction."""
    found, begun = [], ""
    for line in schema.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found
