"""A person's API keys for apps: shown once, stored hashed, revocable one by one."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from goni_core.errors import Conflict, NotFound
from goni_gateway import people, tokens
from goni_gateway.database import now
from goni_gateway.people import Person

PREFIX = "goni-"
MOST = 100


@dataclass(frozen=True)
class Key:
    """A key as its person sees it afterwards; the secret itself is gone. ``created``: seconds
    since 1970.
    """

    id: str
    name: str
    created: int


def create(connection: sqlite3.Connection, person: Person, name: str) -> tuple[Key, str]:
    """A new key and its secret; :class:`Conflict` over :data:`MOST`."""
    count = connection.execute(
        "SELECT count(*) FROM keys WHERE person = ?", (person.id,)
    ).fetchone()[0]
    if count >= MOST:
        raise Conflict(f"{MOST} keys at most", hint="revoke one that no app uses any more")
    key, secret = Key(tokens.new_id(), name, now()), tokens.new(PREFIX)
    connection.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?)",
        (key.id, person.id, key.name, tokens.hashed(secret), key.created),
    )
    return key, secret


def listed(connection: sqlite3.Connection, person: Person) -> list[Key]:
    """The person's keys, newest first."""
    rows = connection.execute(
        "SELECT id, name, created FROM keys WHERE person = ? ORDER BY created DESC, id",
        (person.id,),
    )
    return [Key(*row) for row in rows]


def revoke(connection: sqlite3.Connection, person: Person, key_id: str) -> None:
    """From the return on the key opens nothing; :class:`NotFound` unless it is the person's."""
    done = connection.execute("DELETE FROM keys WHERE id = ? AND person = ?", (key_id, person.id))
    if done.rowcount == 0:
        raise NotFound("there is no such key")


def person_of(connection: sqlite3.Connection, secret: str) -> Person | None:
    """Whose key ``secret`` is."""
    row = connection.execute(
        "SELECT people.* FROM keys JOIN people ON people.id = keys.person WHERE hash = ?",
        (tokens.hashed(secret),),
    ).fetchone()
    return None if row is None else people.from_row(row)
