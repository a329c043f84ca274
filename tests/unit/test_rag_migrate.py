"""goni_rag.migrate on an index as version 1 made it."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import database, migrate, retrieve, store
from goni_rag.semantic import Semantic

VERSION_1 = f"""
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, name TEXT NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, signature TEXT NOT NULL,
    version INTEGER NOT NULL, pages INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    UNIQUE (owner, name)
) STRICT;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (id),
    owner TEXT NOT NULL, page INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    pending INTEGER NOT NULL
) STRICT;
CREATE INDEX chunks_document ON chunks (document);
CREATE INDEX chunks_pending ON chunks (id) WHERE pending;
CREATE VIRTUAL TABLE lexical USING fts5 (
    name, heading, text, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vectors USING vec0 (
    chunk INTEGER PRIMARY KEY, owner TEXT PARTITION KEY,
    embedding FLOAT[{EMBEDDING_DIMENSIONS}] DISTANCE_METRIC=cosine
);
PRAGMA user_version = 1;
INSERT INTO documents VALUES (7, 'ann', 'a.txt', 3, 'sha', 'sig', 1, 2, 'indexed', 'a note');
INSERT INTO chunks VALUES (5, 7, 'ann', 1, 0, 9, 0), (6, 7, 'ann', 2, 9, 20, 1);
INSERT INTO lexical (rowid, name, heading, text) VALUES
    (5, 'a.txt', 'Birds', 'the heron'), (6, 'a.txt', '', 'the kingfisher');
"""


def vector(place: int) -> bytes:
    numbers = np.zeros(EMBEDDING_DIMENSIONS, "<f4")
    numbers[place] = 1.0
    return numbers.tobytes()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "index.db"
    old = database._connected(path)
    old.executescript(VERSION_1)
    old.execute("INSERT INTO vectors VALUES (5, 'ann', ?)", (vector(3),))
    old.close()
    return path


def test_documents_of_version_1_answer_as_before(path):
    db = database.open_writer(path)
    (document,) = store.documents(db, "ann")
    assert (document.name, document.pages, document.chunks) == ("a.txt", 2, 2)
    assert document.reason == f"a note; {store.WAITING}"
    (source,) = retrieve.search(db, Semantic(), "ann", "herons", None, 5)
    assert (source.document, source.page, source.heading) == ("a.txt", 1, "Birds")
    (near,) = retrieve.search(db, Semantic(), "ann", "", vector(3), 5)
    assert near.text == "the heron"
    assert list(store.pending(db, 9).values()) == ["a\nthe kingfisher"]
    names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not [name for name in names if name.endswith("_1")]
    assert store.damage(db) == ""
    db.close()


def test_a_migration_that_breaks_off_leaves_version_1(path, monkeypatch):
    def stop(db: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(migrate, "_copy", stop)
        with pytest.raises(KeyboardInterrupt):
            database.open_writer(path)
    db = database.open_writer(path)
    assert len(store.documents(db, "ann")) == 1
    db.close()
