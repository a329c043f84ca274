"""The roster on disk, and where its nodes were last reached: one SQLite file.

Each change is one transaction with full sync: what was acknowledged survives a power cut. What is
read back was verified before it was written, and is verified again: the file is input too.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

from goni_core.errors import GoniError
from goni_mesh import roster
from goni_mesh.roster import Roster

SCHEMA = """
CREATE TABLE household (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
CREATE TABLE records (hash TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (
    key TEXT NOT NULL,
    author TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (key, author)
) WITHOUT ROWID;
CREATE TABLE reached (node TEXT PRIMARY KEY, host TEXT NOT NULL, port INTEGER NOT NULL);
"""
VERSION = 1


class Store:
    """The file at ``path``, made when it isn't there; :class:`GoniError` for a newer Goni's."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        # Before SQLite makes it, and its log with the same rights.
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise GoniError("the roster was written by a newer version of Goni")
        if version == 0:
            script = f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
            self._database.executescript(script)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def load(self) -> Roster | None:
        """The roster; ``None`` while the node belongs to no household."""
        with self._lock:
            found = self._database.execute("SELECT id FROM household").fetchone()
            if found is None:
                return None
            records = self._database.execute("SELECT record FROM records").fetchall()
            entries = self._database.execute("SELECT entry FROM entries").fetchall()
        return roster.parse(
            {
                "household": found[0],
                "records": [json.loads(one) for (one,) in records],
                "entries": [json.loads(one) for (one,) in entries],
            }
        )

    def save(self, before: Roster | None, after: Roster) -> None:
        """Write what ``after`` has more than ``before``, all or nothing."""
        known, edits = (before.records, before.entries) if before else ({}, {})
        records = [
            (one.hash, json.dumps(one.plain()))
            for one in after.records.values()
            if one.hash not in known
        ]
        entries = [
            (*place, json.dumps(one.plain()))
            for place, one in after.entries.items()
            if place not in edits or edits[place].hash != one.hash
        ]
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("REPLACE INTO household VALUES (1, ?)", (after.household,))
            self._database.executemany("REPLACE INTO records VALUES (?, ?)", records)
            self._database.executemany("REPLACE INTO entries VALUES (?, ?, ?)", entries)

    def forget(self) -> None:
        """Leave nothing of the household: the node is on its own again."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for table in ("household", "records", "entries", "reached"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - of this list

    def reached(self) -> dict[str, tuple[str, int]]:
        """Where each node last answered."""
        with self._lock:
            rows = self._database.execute("SELECT node, host, port FROM reached").fetchall()
        return {node: (host, port) for node, host, port in rows}

    def remember(self, node: str, host: str, port: int) -> None:
        with self._lock, self._database:
            self._database.execute("REPLACE INTO reached VALUES (?, ?, ?)", (node, host, port))
