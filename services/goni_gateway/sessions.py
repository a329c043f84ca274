"""Signed-in browsers: a random cookie each, stored hashed, for 30 days."""

from __future__ import annotations

import sqlite3

from starlette.responses import Response

from goni_gateway import people, tokens
from goni_gateway.database import now
from goni_gateway.people import Person

COOKIE = "__Host-goni"
"""The prefix makes browsers insist on Secure, this host alone and Path=/ (RFC 6265bis)."""
LIFETIME_S = 30 * 24 * 3600


def start(connection: sqlite3.Connection, person: Person) -> str:
    """A new session's token; sessions that ended are swept out."""
    token = tokens.new()
    connection.execute("DELETE FROM sessions WHERE expires <= ?", (now(),))
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?)",
        (tokens.hashed(token), person.id, now(), now() + LIFETIME_S),
    )
    return token


def person_of(connection: sqlite3.Connection, token: str) -> Person | None:
    """Whose session ``token`` is, while it lasts."""
    row = connection.execute(
        "SELECT people.* FROM sessions JOIN people ON people.id = sessions.person"
        " WHERE hash = ? AND expires > ?",
        (tokens.hashed(token), now()),
    ).fetchone()
    return None if row is None else people.from_row(row)


def end(connection: sqlite3.Connection, token: str) -> None:
    connection.execute("DELETE FROM sessions WHERE hash = ?", (tokens.hashed(token),))


def end_all(connection: sqlite3.Connection, person: Person) -> None:
    """End every session that the person has."""
    connection.execute("DELETE FROM sessions WHERE person = ?", (person.id,))


def set_cookie(response: Response, token: str) -> None:
    """Hand ``token`` to the browser; an empty one takes it away."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=LIFETIME_S if token else 0,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )
