"""Web apps of other origins that the owner lets use the OpenAI API from inside a browser. None to
begin with.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from goni_core.errors import BadInput, Conflict, NotFound
from goni_gateway.database import now

MOST = 50
_FORM = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_USUAL = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Origin:
    """An open origin, as browsers write it (RFC 6454). ``created``: seconds since 1970."""

    origin: str
    created: int


def parsed(text: str) -> str:
    """``text`` as browsers write an origin; :class:`BadInput` for anything else, ``null`` and
    patterns included.
    """
    origin = text.strip().rstrip("/").lower()
    if not _FORM.fullmatch(origin):
        raise BadInput("origin must look like https://app.example:8080", code="bad_value")
    return origin.removesuffix(_USUAL[origin.partition(":")[0]])


def add(connection: sqlite3.Connection, origin: str) -> Origin:
    """Open ``origin``, which is :func:`parsed`; again is fine."""
    count = connection.execute("SELECT count(*) FROM origins").fetchone()[0]
    if count >= MOST:
        raise Conflict(f"{MOST} origins at most", hint="close one that no app uses any more")
    connection.execute("INSERT OR IGNORE INTO origins VALUES (?, ?)", (origin, now()))
    return Origin(origin, now())


def listed(connection: sqlite3.Connection) -> list[Origin]:
    return [Origin(*row) for row in connection.execute("SELECT * FROM origins ORDER BY origin")]


def is_open(connection: sqlite3.Connection, origin: str) -> bool:
    row = connection.execute("SELECT 1 FROM origins WHERE origin = ?", (origin,)).fetchone()
    return row is not None


def close(connection: sqlite3.Connection, origin: str) -> None:
    """From the return on it is shut; :class:`NotFound` when it wasn't open."""
    if connection.execute("DELETE FROM origins WHERE origin = ?", (origin,)).rowcount == 0:
        raise NotFound("that origin is not open")
