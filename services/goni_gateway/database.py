"""The gateway's one SQLite file: people, sessions, keys, kept chats.

Each piece of work is a plain function over a connection, run in a worker thread inside one
transaction: it happened whole, or not at all. WAL with full sync, so that what was acknowledged
survives a power cut.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from goni_core import snapshots
from goni_core.errors import GoniError

P = ParamSpec("P")
T = TypeVar("T")

# What a person deletes is overwritten, not only unlinked: secure_delete.
PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON")

SCHEMA = """
CREATE TABLE node (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    completed INTEGER NOT NULL
);
CREATE TABLE people (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('owner', 'member')),
    password TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL
);
CREATE TABLE chats (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
);
CREATE INDEX chats_of_person ON chats (person, updated);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    chat TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    content TEXT NOT NULL,
    model TEXT NOT NULL,
    goni TEXT NOT NULL,
    stopped INTEGER NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX messages_of_chat ON messages (chat, id);
"""

HOUSEHOLD = """
CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'member')),
    person TEXT REFERENCES people (id) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
);
CREATE TABLE sign_ins (
    id INTEGER PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    address TEXT NOT NULL,
    succeeded INTEGER NOT NULL
);
CREATE INDEX sign_ins_of_person ON sign_ins (person, id);
CREATE TABLE origins (
    origin TEXT PRIMARY KEY,
    created INTEGER NOT NULL
) WITHOUT ROWID;
"""

PICTURES = """
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('png', 'jpeg', 'gif')),
    data BLOB NOT NULL
);
CREATE INDEX pictures_of_message ON pictures (message);
"""

TOLD = "CREATE TABLE told (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"

STEPS = (SCHEMA, HOUSEHOLD, PICTURES, TOLD)
"""Each takes a database from its version to the next. One that was released never changes again."""
VERSION = len(STEPS)


class Database:
    """The file at ``path``, made when it isn't there; :class:`GoniError` when a newer Goni wrote
    it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10
        )
        path.chmod(0o600)
        self._connection.row_factory = sqlite3.Row
        try:
            for pragma in PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            snapshots.settle(self._connection, path, VERSION)
            self.run(_prepare)
        except (sqlite3.DatabaseError, GoniError) as error:
            self._connection.close()
            if isinstance(error, GoniError):
                raise
            raise GoniError(
                f"the gateway's database can't be opened: {error}",
                hint="restore it from a backup",
                code="damaged_database",
            ) from error

    def run(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """``work(connection, …)`` inside one transaction."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._connection, *args, **kwargs)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return result

    async def do(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As :meth:`run`, in a worker thread."""
        return await asyncio.to_thread(lambda: self.run(work, *args, **kwargs))

    async def look(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As :meth:`do`, for ``work`` that only reads a row or two: that takes less time than to
        wake a thread for it, so it is done at once unless somebody writes just now.
        """
        if not self._lock.acquire(blocking=False):
            return await self.do(work, *args, **kwargs)
        try:
            return work(self._connection, *args, **kwargs)
        finally:
            self._lock.release()

    def sound(self) -> bool:
        """Whether SQLite's own check finds the file well-formed."""
        with self._lock:
            row = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        return bool(row[0] == "ok")

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def now() -> int:
    """Seconds since 1970, as every table keeps them."""
    return int(time.time())


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise GoniError(
            "the gateway's database was written by a newer version of Goni",
            hint="start the newer version again",
            code="newer_database",
        )
    for step in STEPS[version:]:
        for statement in step.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
