"""Downloads as the gateway's database keeps them: what is wanted, how far it is, what went wrong.

A job is one model: its file, and its projector when it reads pictures. Functions over a connection,
as everywhere in this database.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from goni_core.contract import Remote
from goni_core.errors import Conflict, NotFound, TooMany
from goni_gateway import tokens

QUEUED, RUNNING, PAUSED, FAILED, DONE = "queued", "running", "paused", "failed", "done"
WAITING = (QUEUED, RUNNING)
LIMIT = 50
"""Jobs kept, finished ones included."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS downloads (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    source TEXT NOT NULL,
    files TEXT NOT NULL,
    place INTEGER NOT NULL,
    incoming TEXT NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    done_bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS download_rate (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    bytes_per_second INTEGER NOT NULL
);
"""


@dataclass(frozen=True)
class Job:
    """A download. ``place`` is the file of ``files`` that is being fetched, into the engine's
    ``incoming``; ``done_bytes`` counts over all files; ``etag`` and ``size`` are what the hub says
    of this file; ``created`` is in nanoseconds since 1970.
    """

    id: str
    model: str
    title: str
    source: str
    files: tuple[Remote, ...]
    place: int = 0
    incoming: str = ""
    etag: str = ""
    size: int = 0
    done_bytes: int = 0
    state: str = QUEUED
    reason: str = ""
    created: int = 0

    @property
    def file(self) -> Remote:
        return self.files[self.place]

    @property
    def before(self) -> int:
        """Bytes of the files that are here already."""
        return sum(remote.bytes for remote in self.files[: self.place])

    @property
    def bytes(self) -> int:
        """Bytes of all files; 0 while nobody has said how large a file is."""
        return sum(remote.bytes for remote in self.files) or self.size


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables. What ran when the gateway stopped is queued again."""
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute("UPDATE downloads SET state = ? WHERE state = ?", (QUEUED, RUNNING))


def add(
    connection: sqlite3.Connection, model: str, title: str, source: str, files: Sequence[Remote]
) -> Job:
    """A new job at the end of the queue; one of the same model that ended takes a new start."""
    row = connection.execute("SELECT * FROM downloads WHERE model = ?", (model,)).fetchone()
    if row is not None and row["state"] not in (FAILED, DONE):
        raise Conflict("that model is being downloaded already", code="downloading")
    if row is not None:
        remove(connection, row["id"])
    if connection.execute("SELECT count(*) FROM downloads").fetchone()[0] >= LIMIT:
        raise TooMany("too many downloads", hint="remove finished ones", retry_after=60)
    job = Job(tokens.new_id(), model, title, source, tuple(files), created=time.time_ns())
    save(connection, job)
    return job


def save(connection: sqlite3.Connection, job: Job) -> None:
    values = asdict(job) | {"files": json.dumps([asdict(remote) for remote in job.files])}
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(
        f"INSERT OR REPLACE INTO downloads ({names}) VALUES ({marks})",  # noqa: S608 - fields of Job
        list(values.values()),
    )


def keep(connection: sqlite3.Connection, job: Job) -> bool:
    """Save what its worker found, unless ``job`` was paused or removed meanwhile; whether it was
    saved.
    """
    there = find(connection, job.id)
    if there is None or there.state not in WAITING:
        return False
    save(connection, job)
    return True


def note(connection: sqlite3.Connection, job: str, done_bytes: int) -> None:
    """How much is here, whatever the state."""
    connection.execute("UPDATE downloads SET done_bytes = ? WHERE id = ?", (done_bytes, job))


def remove(connection: sqlite3.Connection, job: str) -> None:
    connection.execute("DELETE FROM downloads WHERE id = ?", (job,))


def listed(connection: sqlite3.Connection) -> list[Job]:
    return [_job(row) for row in connection.execute("SELECT * FROM downloads ORDER BY created, id")]


def find(connection: sqlite3.Connection, job: str) -> Job | None:
    row = connection.execute("SELECT * FROM downloads WHERE id = ?", (job,)).fetchone()
    return _job(row) if row is not None else None


def get(connection: sqlite3.Connection, job: str) -> Job:
    found = find(connection, job)
    if found is None:
        raise NotFound("there is no such download")
    return found


def first_waiting(connection: sqlite3.Connection) -> Job | None:
    """The job whose turn it is."""
    return next((job for job in listed(connection) if job.state in WAITING), None)


def set_state(connection: sqlite3.Connection, job: str, state: str, reason: str = "") -> Job:
    changed = replace(get(connection, job), state=state, reason=reason)
    save(connection, changed)
    return changed


def rate(connection: sqlite3.Connection) -> int:
    """Bytes per second at most; 0: as fast as the line is."""
    row = connection.execute("SELECT bytes_per_second FROM download_rate").fetchone()
    return int(row[0]) if row else 0


def set_rate(connection: sqlite3.Connection, bytes_per_second: int) -> None:
    connection.execute("INSERT OR REPLACE INTO download_rate VALUES (1, ?)", (bytes_per_second,))


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    files = tuple(Remote(**remote) for remote in json.loads(values.pop("files")))
    return Job(files=files, **values)
