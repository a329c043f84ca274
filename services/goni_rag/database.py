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
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import sqlite_vec

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_core.errors import GoniError
from goni_rag import likeness, migrate

log = logging.getLogger(__name__)

VERSION = 2
"""Of the tables. Version 1 is brought here (``migrate``), another one's file is made anew."""

SCHEMA = f"""
-- Small numbers for people, and how much of each there is: bm25 needs the mean length, and it must
-- not tell one person about another's.
CREATE TABLE owners (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL UNIQUE,
    passages INTEGER NOT NULL DEFAULT 0,
    terms INTEGER NOT NULL DEFAULT 0,
    vectors INTEGER NOT NULL DEFAULT 0
) STRICT;
-- name: the path below the owner's folder, "/" between; kind: its ending in small letters;
-- modified: seconds since 1970; extractor, chunker: the versions that made the passages; due: how
-- urgently the file is to be read (again), 0 for not at all (``ledger``).
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    modified INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    signature TEXT NOT NULL,
    extractor TEXT NOT NULL,
    chunker TEXT NOT NULL,
    pages INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    due INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, name)
) STRICT;
CREATE INDEX documents_signature ON documents (signature);
CREATE INDEX documents_due ON documents (due, id) WHERE due;
CREATE INDEX documents_sha256 ON documents (owner, sha256);
-- Ids are never used twice, so that a vector which arrives late can't meet another's passage.
-- place: number in the document, from 0; start, stop: characters of the extracted text; words: the
-- version that made its terms; model: the version that made its vector, 0 for none yet;
-- fingerprint: of the words alone; twin: the passage of the same owner and words whose terms and
-- vector stand for this one's.
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents (id),
    owner TEXT NOT NULL,
    place INTEGER NOT NULL,
    page INTEGER NOT NULL,
    heading TEXT NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    text TEXT NOT NULL,
    language TEXT NOT NULL,
    words INTEGER NOT NULL,
    model INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    twin INTEGER REFERENCES chunks (id)
) STRICT;
CREATE INDEX chunks_document ON chunks (document, place);
CREATE INDEX chunks_model ON chunks (model, id) WHERE twin IS NULL;
CREATE INDEX chunks_language ON chunks (owner, language);
CREATE INDEX chunks_fingerprint ON chunks (owner, fingerprint) WHERE twin IS NULL;
CREATE INDEX chunks_twin ON chunks (twin) WHERE twin IS NOT NULL;
-- Terms as ``words`` makes them, each with its owner's number before it, so that nobody's word can
-- match another's; rowid is the chunk's id. Analysed before they come here: the tokenizer only
-- parts them at blanks.
CREATE VIRTUAL TABLE lexical USING fts5 (
    name, heading, text, grams, tokenize = "ascii tokenchars ':'"
);
-- The signs of each vector's numbers, for the coarse search; ``fine`` has the numbers themselves
-- as 16-bit floats, ``arrivals`` the order in which they came.
CREATE VIRTUAL TABLE vectors USING vec0 (
    chunk INTEGER PRIMARY KEY,
    owner TEXT PARTITION KEY,
    embedding BIT[{EMBEDDING_DIMENSIONS}]
);
CREATE TABLE fine (
    chunk INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    vector BLOB NOT NULL
) STRICT;
CREATE TABLE arrivals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk INTEGER NOT NULL,
    owner TEXT NOT NULL
) STRICT;
PRAGMA user_version = {VERSION};
"""

OCCURRENCES = """
CREATE VIRTUAL TABLE temp.occurrences USING fts5vocab (main, lexical, instance)
"""
"""Each term's every place: a view of ``lexical`` that each connection has for itself."""
READER_CACHE_KIB = 16 << 10
"""The upper pages of the trees, so that a search in a million passages doesn't fetch them anew."""


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


def is_index(path: Path) -> bool:
    """Whether the file at ``path`` is an index, or empty: no other database of somebody's."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as found:
            tables = {row[0] for row in found.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return False
    return not tables or {"documents", "chunks", "lexical"} <= tables


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can't write."""
    connection = _connected(path)
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
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
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {likeness.SCHEMA} COMMIT;")
        elif found in (1, VERSION):
            connection.executescript(likeness.SCHEMA)  # came later; what it lacks, it only misses
        else:
            raise sqlite3.DatabaseError(f"tables of version {found}")
        if found == 1:
            migrate.from_1(connection, SCHEMA)
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
    connection.execute(OCCURRENCES)
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
