"""The log of sign-ins, for the person and for the owner: when, from which address, whether it
succeeded. The latest :data:`MOST` of each person are kept; tries at names that don't exist are
nobody's.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from goni_gateway.database import now

MOST = 200


@dataclass(frozen=True)
class SignIn:
    """One try. ``at``: seconds since 1970."""

    at: int
    address: str
    succeeded: bool


def record(
    connection: sqlite3.Connection, person_id: str, address: str, *, succeeded: bool
) -> None:
    connection.execute(
        "INSERT INTO sign_ins (person, at, address, succeeded) VALUES (?, ?, ?, ?)",
        (person_id, now(), address, succeeded),
    )
    connection.execute(
        "DELETE FROM sign_ins WHERE person = ? AND id NOT IN"
        " (SELECT id FROM sign_ins WHERE person = ? ORDER BY id DESC LIMIT ?)",
        (person_id, person_id, MOST),
    )


def listed(connection: sqlite3.Connection, person_id: str) -> list[SignIn]:
    """The person's, newest first."""
    rows = connection.execute(
        "SELECT at, address, succeeded FROM sign_ins WHERE person = ? ORDER BY id DESC",
        (person_id,),
    )
    return [SignIn(row["at"], row["address"], bool(row["succeeded"])) for row in rows]
