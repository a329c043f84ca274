"""What a database was before a newer Goni changed its tables, for the older one that may come back.

A new version of Goni has to prove itself, and until then any boot may be the older version's again,
which can't read newer tables. So whoever is about to change them keeps a copy beside the database
first; the older version puts the newer database aside and goes on with that copy. What was written
in between is in what was put aside. The copy goes when it is old: by then the version has proved
itself, and what people deleted has to be gone from copies too.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from goni_core import files

log = logging.getLogger(__name__)

KEPT_S = 14 * 86_400.0


def settle(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the open database at ``path``, or go back to a copy, for a Goni whose tables are of
    ``version`` (SQLite's user_version): outside of a transaction, and before anything is read from
    it. A newer database without a copy stays as it is.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if 0 < found < version:
        files.sweep(path.parent)
        _copy(connection, copy_of(path, found))
    elif found > version and copy_of(path, version).exists():
        _go_back(connection, path, version)
    _tidy(path)


def copy_of(path: Path, version: int) -> Path:
    """Where the copy of ``path`` is whose tables are of ``version``."""
    return path.with_name(f"{path.stem}.v{version}{path.suffix}")


def newer_of(path: Path) -> Path:
    """Where a newer database is put aside."""
    return path.with_name(f"{path.stem}.newer{path.suffix}")


def _go_back(connection: sqlite3.Connection, path: Path, version: int) -> None:
    _copy(connection, newer_of(path))
    with closing(sqlite3.connect(copy_of(path, version))) as source:
        source.backup(connection)  # one transaction: a power cut leaves either
    log.warning(
        "%s was a newer Goni's; it is as it was before that, and the newer one is kept as %s",
        path.name,
        newer_of(path).name,
    )


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    with files.incoming(target, mode=0o600) as fresh:
        connection.execute("VACUUM INTO ?", (str(fresh),))


def _tidy(path: Path) -> None:
    for copy in (*path.parent.glob(f"{path.stem}.v*{path.suffix}"), newer_of(path)):
        if copy.exists() and copy.stat().st_mtime < time.time() - KEPT_S:
            copy.unlink()
