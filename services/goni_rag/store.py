"""The index's rows: documents, passages, terms and vectors; every statement that changes them.

Functions take a connection inside a transaction (``connections``), so each is whole or not at all.
Every read for a person names the owner in the statement itself. A passage whose words an owner has
already, or nearly (``likeness``), is not indexed again: it points at that passage, its twin, and
takes over when that goes.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from goni_core.contract import Document
from goni_rag import embed, extract, likeness, words
from goni_rag.chunk import VERSION as CHUNK_VERSION
from goni_rag.chunk import Chunk, embedded_text
from goni_rag.embed import REFUSED, Vector
from goni_rag.folders import Key

EXTRACTOR = str(extract.VERSION)
CHUNKER = str(CHUNK_VERSION)
INDEX_VERSION = f"{EXTRACTOR}.{CHUNKER}"
"""Of extractors and chunker: documents of another are read anew. Terms and vectors have versions of
their own (``words``, ``embed``), and are made anew from the passages' text.
"""
WAITING = "found by its words for now, by its meaning soon"
CHANGED = "it has changed and is being read again"


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
    modified: int = 0
    extractor: str = EXTRACTOR
    chunker: str = CHUNKER

    @property
    def kind(self) -> str:
        """The ending of its name in small letters, without the dot."""
        return kind(self.name)


@dataclass(frozen=True)
class Known:
    """What the index remembers of a file, to tell whether it changed."""

    sha256: str
    signature: str
    version: str


@dataclass(frozen=True)
class Totals:
    """How much there is, over all owners."""

    documents: int
    unreadable: int
    chunks: int
    pending: int
    waiting: int


def put(
    db: sqlite3.Connection,
    entry: Entry,
    chunks: Sequence[Chunk],
    vectors: Sequence[Vector | None],
    *,
    titled: bool = True,
) -> None:
    """Replace all that is known of a document. A vector that is None is waited for. Unless
    ``titled``, its name says nothing of it.
    """
    forget(db, (entry.owner, entry.name))
    document = db.execute(
        "INSERT INTO documents (owner, name, kind, modified, bytes, sha256, signature, extractor,"
        " chunker, pages, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(entry.owner, entry.name, entry.kind, entry.modified, entry.bytes, entry.sha256),
            *(entry.signature, entry.extractor, entry.chunker),
            *(entry.pages, entry.state, entry.reason),
        ),
    ).lastrowid
    language = words.language(" ".join(chunk.text for chunk in chunks[:4]))
    for place, (chunk, vector) in enumerate(zip(chunks, vectors, strict=True)):
        mark = fingerprint(chunk.text)
        twin = _twin(db, entry.owner, mark, chunk.text)
        model = embed.VERSION if vector is not None or twin else 0
        row = db.execute(
            "INSERT INTO chunks (document, owner, place, page, heading, start, stop, text,"
            " language, words, model, fingerprint, twin)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(document, entry.owner, place, chunk.page, chunk.heading, chunk.start),
                *(chunk.stop, chunk.text, words.language(chunk.text) or language),
                *(words.VERSION, model, mark, twin),
            ),
        ).lastrowid
        assert row is not None
        if twin is None:
            _add_terms(db, row, titled=titled)
            likeness.note(db, owner_number(db, entry.owner), row, chunk.text)
            if vector:
                _add_vector(db, row, entry.owner, vector)


Whole = tuple[Entry, Sequence[Chunk], Sequence[Vector | None]]


def put_all(db: sqlite3.Connection, documents: Sequence[Whole]) -> None:
    """:func:`put` each of ``documents``, whose names are mere ids."""
    for entry, chunks, vectors in documents:
        put(db, entry, chunks, vectors, titled=False)


def forget(db: sqlite3.Connection, key: Key) -> bool:
    """Remove a document and all that came from it; False if it wasn't there."""
    row = db.execute("SELECT id FROM documents WHERE owner = ? AND name = ?", key).fetchone()
    if row is None:
        return False
    # What the document has twice goes at once, or one passage would only make room for the other.
    db.execute("DELETE FROM chunks WHERE document = ? AND twin IS NOT NULL", row)
    for (chunk,) in db.execute("SELECT id FROM chunks WHERE document = ?", row).fetchall():
        _remove(db, chunk, key[0])
    db.execute("DELETE FROM documents WHERE id = ?", row)
    return True


def _remove(db: sqlite3.Connection, chunk: int, owner: str) -> None:
    """Remove one passage; a twin takes over its terms and vector."""
    heir = db.execute("SELECT MIN(id) FROM chunks WHERE twin = ?", (chunk,)).fetchone()[0]
    vector = db.execute("SELECT vector FROM fine WHERE chunk = ?", (chunk,)).fetchone()
    _drop_terms(db, chunk, owner)
    _drop_vector(db, chunk, owner)
    number = owner_number(db, owner)
    likeness.drop(db, number, chunk, _text(db, chunk))
    if heir is not None:
        likeness.note(db, number, heir, _text(db, heir))
        db.execute("UPDATE chunks SET twin = NULL WHERE id = ?", (heir,))
        db.execute("UPDATE chunks SET twin = ? WHERE twin = ?", (heir, chunk))
        model = db.execute("SELECT model FROM chunks WHERE id = ?", (chunk,)).fetchone()
        db.execute("UPDATE chunks SET model = ? WHERE id = ?", (*model, heir))
        _add_terms(db, heir)
        if vector:
            _add_vector(db, heir, owner, _widened(vector[0]))
    db.execute("DELETE FROM chunks WHERE id = ?", (chunk,))


def move(db: sqlite3.Connection, key: Key, to: Key) -> None:
    """The file is called ``to`` from now on: nothing is read or embedded again. What was known of
    ``to`` is forgotten.
    """
    if key == to:
        return
    forget(db, to)
    row = db.execute("SELECT id FROM documents WHERE owner = ? AND name = ?", key).fetchone()
    if row is None:
        return
    if key[0] != to[0]:
        _hand_over(db, row[0], key, to)
        return
    db.execute("UPDATE documents SET name = ?, kind = ? WHERE id = ?", (to[1], kind(to[1]), *row))
    own = "SELECT id FROM chunks WHERE document = ? AND twin IS NULL"
    for (chunk,) in db.execute(own, row).fetchall():
        _drop_terms(db, chunk, key[0])
        _add_terms(db, chunk)


def _hand_over(db: sqlite3.Connection, document: int, key: Key, to: Key) -> None:
    """Put a document's passages and vectors among those of another owner."""
    *rest, due = db.execute(
        "SELECT bytes, sha256, signature, pages, state, reason, modified, extractor, chunker, due"
        " FROM documents WHERE id = ?",
        (document,),
    ).fetchone()
    rows = db.execute(
        "SELECT c.text, c.page, c.heading, c.start, c.stop, c.model, f.vector FROM chunks c"
        " LEFT JOIN fine f ON f.chunk = COALESCE(c.twin, c.id)"
        " WHERE c.document = ? ORDER BY c.place",
        (document,),
    ).fetchall()
    forget(db, key)
    vectors = [
        (_widened(vector) if vector else REFUSED) if model == embed.VERSION else None
        for *_, model, vector in rows
    ]
    put(db, Entry(*to, *rest), [Chunk(*row[:5]) for row in rows], vectors)
    db.execute("UPDATE documents SET due = ? WHERE owner = ? AND name = ?", (due, *to))


def sign(db: sqlite3.Connection, key: Key, signature: str) -> None:
    """The file was replaced by one with the same content."""
    db.execute(
        "UPDATE documents SET signature = ?, due = 0 WHERE owner = ? AND name = ?",
        (signature, *key),
    )


def known(db: sqlite3.Connection, owner: str) -> dict[Key, Known]:
    """What is remembered of every file of ``owner``."""
    rows = db.execute(
        "SELECT name, sha256, signature, extractor || '.' || chunker FROM documents"
        " WHERE owner = ?",
        (owner,),
    )
    return {(owner, name): Known(*rest) for name, *rest in rows}


def known_one(db: sqlite3.Connection, key: Key) -> Known | None:
    """What is remembered of one file."""
    row = db.execute(
        "SELECT sha256, signature, extractor || '.' || chunker FROM documents"
        " WHERE owner = ? AND name = ?",
        key,
    ).fetchone()
    return Known(*row) if row else None


def documents(db: sqlite3.Connection, owner: str, name: str | None = None) -> list[Document]:
    """``owner``'s documents by name, or the one called ``name``."""
    return listed(db, owner, "(:name IS NULL OR d.name = :name)", {"name": name}, -1)


def listed(
    db: sqlite3.Connection, owner: str, where: str, values: Mapping[str, object], most: int
) -> list[Document]:
    """At most ``most`` of ``owner``'s documents for which ``where`` holds, by name."""
    rows = db.execute(
        "SELECT d.name, d.bytes, d.sha256, d.pages, COUNT(c.id), d.state, d.reason, d.modified,"  # noqa: S608 - callers' constants
        " d.due, COALESCE(SUM(c.model = 0), 0)"
        " FROM documents d LEFT JOIN chunks c ON c.document = d.id AND c.owner = d.owner"
        f" WHERE d.owner = :owner AND {where} GROUP BY d.id ORDER BY d.name LIMIT :most",
        {**values, "owner": owner, "most": most},
    )
    return [_document(*row) for row in rows]


def _document(*row: Any) -> Document:
    name, size, sha256, pages, chunks, state, reason, modified, due, wait = row
    reasons = [reason] if reason else []
    if due and state != "waiting":
        reasons.append(CHANGED)
    if wait:
        reasons.append(WAITING)
    return Document(name, size, sha256, pages, chunks, state, "; ".join(reasons), modified)


def pending(db: sqlite3.Connection, most: int) -> dict[int, str]:
    """At most ``most`` passages without a vector of this version's model: their ids and what is to
    be embedded.
    """
    rows = db.execute(
        "SELECT c.id, d.name, c.heading, c.text FROM chunks c"
        " JOIN documents d ON d.id = c.document AND d.owner = c.owner"
        " WHERE c.model < ? AND c.twin IS NULL ORDER BY c.model, c.id LIMIT ?",
        (embed.VERSION, most),
    )
    return {chunk: embedded_text(name, heading, text) for chunk, name, heading, text in rows}


def fill(db: sqlite3.Connection, vectors: Mapping[int, Vector]) -> None:
    """Add vectors that came later, except for passages that are gone by now."""
    for chunk, vector in vectors.items():
        row = db.execute(
            "SELECT owner FROM chunks WHERE id = ? AND model < ? AND twin IS NULL",
            (chunk, embed.VERSION),
        ).fetchone()
        if row is None:
            continue
        db.execute(
            "UPDATE chunks SET model = :model WHERE id = :chunk OR twin = :chunk",
            {"model": embed.VERSION, "chunk": chunk},
        )
        _drop_vector(db, chunk, row[0])
        if vector != REFUSED:
            _add_vector(db, chunk, row[0], vector)


def outworded(db: sqlite3.Connection, after: int, most: int) -> list[int]:
    """At most ``most`` passages after ``after``, by id, whose terms another version made."""
    rows = db.execute(
        "SELECT id FROM chunks WHERE id > ? AND words <> ? AND twin IS NULL ORDER BY id LIMIT ?",
        (after, words.VERSION, most),
    )
    return [row[0] for row in rows]


def reword(db: sqlite3.Connection, chunks: Sequence[int]) -> None:
    """Make the terms of those of ``chunks`` anew that are still there."""
    for chunk in chunks:
        row = db.execute("SELECT owner FROM chunks WHERE id = ?", (chunk,)).fetchone()
        if row is not None:
            _drop_terms(db, chunk, row[0])
            _add_terms(db, chunk)
            db.execute("UPDATE chunks SET words = ? WHERE id = ?", (words.VERSION, chunk))


def names_of(db: sqlite3.Connection, chunks: Sequence[int]) -> dict[int, str]:
    """The document's name of each passage; for measuring, not for a person."""
    rows = db.execute(
        "SELECT c.id, d.name FROM chunks c JOIN documents d ON d.id = c.document"
        " WHERE c.id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(chunks)),),
    )
    return dict(rows.fetchall())


def totals(db: sqlite3.Connection) -> Totals:
    """How much there is, over all owners."""
    row = db.execute(
        "SELECT (SELECT COUNT(*) FROM documents),"
        " (SELECT COUNT(*) FROM documents WHERE state = 'unreadable'),"
        " (SELECT COUNT(*) FROM chunks),"
        " (SELECT COUNT(*) FROM chunks WHERE model = 0 AND twin IS NULL),"
        " (SELECT COUNT(*) FROM documents WHERE due)"
    ).fetchone()
    return Totals(*row)


def damage(db: sqlite3.Connection) -> str:
    """What SQLite finds wrong with the file, "" when nothing; reads all of it."""
    # SQLite checks FTS5 too since 3.44, but against what this connection last saw of it, and then
    # calls what others have written since malformed. A query makes it look again.
    db.execute("SELECT rowid FROM lexical WHERE lexical MATCH 'a' LIMIT 1").fetchall()
    found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if found == "ok" else found


def kind(name: str) -> str:
    """The ending of a name in small letters, without the dot."""
    return PurePosixPath(name).suffix[1:].lower()


def owner_number(db: sqlite3.Connection, owner: str) -> int:
    """The small number that stands for ``owner`` in the terms; made when there is none yet."""
    db.execute("INSERT OR IGNORE INTO owners (owner) VALUES (?)", (owner,))
    number: int = db.execute("SELECT id FROM owners WHERE owner = ?", (owner,)).fetchone()[0]
    return number


def marked(number: int, terms: Sequence[str]) -> str:
    """Terms as the index has them: each with its owner's number before it."""
    return " ".join(f"{number}:{term}" for term in terms)


def fingerprint(text: str) -> int:
    """The same 63 bits for texts that differ in blanks, case and signs only."""
    plain = " ".join(re.findall(r"\w+", words.folded(text)))
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=8).digest()) >> 1


def _twin(db: sqlite3.Connection, owner: str, mark: int, text: str) -> int | None:
    """The indexed passage of ``owner`` with the words of ``text``, or nearly."""
    row = db.execute(
        "SELECT id FROM chunks WHERE owner = ? AND fingerprint = ? AND twin IS NULL", (owner, mark)
    ).fetchone()
    return row[0] if row else likeness.find(db, owner_number(db, owner), text)


def _text(db: sqlite3.Connection, chunk: int) -> str:
    text: str = db.execute("SELECT text FROM chunks WHERE id = ?", (chunk,)).fetchone()[0]
    return text


def _add_terms(db: sqlite3.Connection, chunk: int, *, titled: bool = True) -> None:
    owner, name, heading, text, code = db.execute(
        "SELECT c.owner, d.name, c.heading, c.text, c.language FROM chunks c"
        " JOIN documents d ON d.id = c.document WHERE c.id = ?",
        (chunk,),
    ).fetchone()
    number = owner_number(db, owner)
    terms = words.terms(text, code)
    title = str(PurePosixPath(name).with_suffix("")) if titled else ""
    db.execute(
        "INSERT INTO lexical (rowid, name, heading, text, grams) VALUES (?, ?, ?, ?, ?)",
        (
            chunk,
            marked(number, words.terms(title, code)),
            marked(number, words.terms(heading, code)),
            marked(number, terms),
            marked(number, [words.gram(one) for one in words.grams(text, code)]),
        ),
    )
    db.execute(
        "UPDATE owners SET passages = passages + 1, terms = terms + ? WHERE id = ?",
        (len(terms), number),
    )


def _drop_terms(db: sqlite3.Connection, chunk: int, owner: str) -> None:
    row = db.execute("SELECT text FROM lexical WHERE rowid = ?", (chunk,)).fetchone()
    if row is None:
        return
    db.execute("DELETE FROM lexical WHERE rowid = ?", (chunk,))
    db.execute(
        "UPDATE owners SET passages = passages - 1, terms = terms - ? WHERE owner = ?",
        (len(row[0].split()), owner),
    )


def _add_vector(db: sqlite3.Connection, chunk: int, owner: str, vector: Vector) -> None:
    numbers = np.frombuffer(vector, dtype="<f4")
    db.execute(
        "INSERT INTO vectors (chunk, owner, embedding) VALUES (?, ?, vec_bit(?))",
        (chunk, owner, embed.signs(numbers).tobytes()),
    )
    db.execute(
        "INSERT INTO fine (chunk, owner, vector) VALUES (?, ?, ?)",
        (chunk, owner, numbers.astype("<f2").tobytes()),
    )
    db.execute("INSERT INTO arrivals (chunk, owner) VALUES (?, ?)", (chunk, owner))
    db.execute("UPDATE owners SET vectors = vectors + 1 WHERE owner = ?", (owner,))


def _drop_vector(db: sqlite3.Connection, chunk: int, owner: str) -> None:
    gone = db.execute("DELETE FROM fine WHERE chunk = ?", (chunk,)).rowcount
    db.execute("DELETE FROM vectors WHERE chunk = ?", (chunk,))
    db.execute("UPDATE owners SET vectors = vectors - ? WHERE owner = ?", (gone, owner))


def _widened(vector: bytes) -> Vector:
    return np.frombuffer(vector, dtype="<f2").astype("<f4").tobytes()
