"""The index file: its tables, and how a connection to it is opened.

Nothing in it is the only copy of anything: it is made from the folders, so one that is damaged or
has another version's tables is set aside and made anew. WAL with full syncs: what was committed
survives a power cut (https://sqlite.org/wal.html).
"""

from __future__ import annotations

import ctypes
import functools
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlite_vec

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_core.errors import GoniError

log = logging.getLogger(__name__)

VERSION = 2
"""Of the tables; another one's file is made anew."""

SCHEMA = f"""
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    signature TEXT NOT NULL,
    version INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    changed INTEGER NOT NULL,
    due INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, name)
) STRICT;
CREATE INDEX documents_signature ON documents (signature);
CREATE INDEX documents_due ON documents (due, id) WHERE due;
-- Ids are never used twice, so that a vector which arrives late can't meet another's passage.
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents (id),
    owner TEXT NOT NULL,
    page INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    pending INTEGER NOT NULL
) STRICT;
CREATE INDEX chunks_document ON chunks (document);
CREATE INDEX chunks_pending ON chunks (id) WHERE pending;
-- Holds the passages' text; rowid is the chunk's id.
CREATE VIRTUAL TABLE lexical USING fts5 (
    name, heading, text, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vectors USING vec0 (
    chunk INTEGER PRIMARY KEY,
    owner TEXT PARTITION KEY,
    embedding FLOAT[{EMBEDDING_DIMENSIONS}] DISTANCE_METRIC=cosine
);
PRAGMA user_version = {VERSION};
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes; makes the tables, and the file anew when it is unusable."""
    try:
        return _prepared(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not _damaged(error):
            raise
        log.error("the index is unusable and is made anew from the documents: %s", error)
        set_aside(path)
        return _prepared(path)


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can't write."""
    connection = _connected(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it, whatever happens."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk ends it by itself
            connection.execute("ROLLBACK")
        raise


def set_aside(path: Path) -> None:
    """Keep an unusable index under another name, for whoever wants to know why."""
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        path.replace(path.with_name(path.name + ".broken"))


def _prepared(path: Path) -> sqlite3.Connection:
    connection = _connected(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        elif found != VERSION:
            raise sqlite3.DatabaseError(f"tables of version {found}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    _register_vec()
    # Each thread keeps to its own connection; only closing happens from another one.
    connection = sqlite3.connect(path, isolation_level=None, timeout=30.0, check_same_thread=False)
    _load_vec(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _damaged(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _load_vec(connection: sqlite3.Connection) -> None:
    if hasattr(connection, "enable_load_extension"):
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        connection.enable_load_extension(False)


@functools.cache
def _register_vec() -> None:
    """Where Python was built without extension loading (not Debian's; many self-made ones), give
    sqlite-vec to the SQLite library itself (https://sqlite.org/c3ref/auto_extension.html).
    """
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        return
    try:
        library = ctypes.CDLL("libsqlite3.so.0")
        entry = ctypes.CDLL(sqlite_vec.loadable_path() + ".so").sqlite3_vec_init
        if library.sqlite3_auto_extension(entry) == 0:
            _prove(sqlite3.connect(":memory:"))
            return
    except (OSError, AttributeError, sqlite3.Error) as error:
        log.debug("registering sqlite-vec failed: %s", error)
    raise GoniError(
        "this Python's sqlite3 can't load extensions",
        hint="make the environment with Debian's own /usr/bin/python3",
        code="no_sqlite_vec",
    )


def _prove(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT vec_version()")
    connection.close()
