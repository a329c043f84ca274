"""Threads that own the database connections, so that the event loop never waits for a disk.

One thread writes, in the order asked; a few others read, each with a connection of its own. WAL
lets them go on while the writer writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from goni_core.errors import DiskFull
from goni_rag import database

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[sqlite3.Connection, P], T]
"""A blocking function that takes a connection first."""

READERS = 3


class Connections:
    """The connections to the index at ``path``; :meth:`close` ends them and their threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._writer = ThreadPoolExecutor(1, "rag-write")
        self._readers = ThreadPoolExecutor(READERS, "rag-read")
        # Nobody reads before the tables exist.
        self._writer.submit(self._connection, database.open_writer).result()

    async def write(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in one transaction, alone."""

        def whole() -> T:
            with self._transaction() as db:
                return work(db, *args, **kwargs)

        return await asyncio.wrap_future(self._writer.submit(whole))

    async def read(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` on one unchanging state of the index."""

        def whole() -> T:
            with self._snapshot() as db:
                return work(db, *args, **kwargs)

        return await asyncio.wrap_future(self._readers.submit(whole))

    def close(self) -> None:
        """Wait for what is running, then close every connection."""
        self._readers.shutdown()
        self._writer.shutdown()
        for connection in self._opened:
            connection.close()

    def _connection(self, opener: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
        """This thread's own connection."""
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = opener(self._path)
            self._opened.append(connection)
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection(database.open_writer)
        try:
            with database.transaction(connection):
                yield connection
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise DiskFull("the disk is full", hint="remove models or documents") from error

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection(database.open_reader)
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
