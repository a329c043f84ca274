"""One-time invitations: how somebody becomes a person of the household, or gets a new password.

The owner makes one and hands its code over; whoever brings the code chooses the password. So the
owner never knows anybody's password. Codes are stored hashed and end after :data:`LIFETIME_S`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from goni_core.errors import Conflict, NotFound
from goni_gateway import people, sessions, tokens
from goni_gateway.database import now
from goni_gateway.people import Person

LIFETIME_S = 7 * 24 * 3600
MOST = 50


@dataclass(frozen=True)
class Invitation:
    """Who may come in with it. ``person`` is the id of somebody who is here already and only gets
    a new password; empty for somebody new. Times are seconds since 1970.
    """

    id: str
    name: str
    role: str
    person: str
    created: int
    expires: int


def invite(connection: sqlite3.Connection, name: str, role: str) -> tuple[Invitation, str]:
    """An invitation for somebody new, and its code; :class:`Conflict` when the name is taken."""
    if people.named(connection, name) is not None:
        raise people.taken()
    return _create(connection, name, role, "")


def renew(connection: sqlite3.Connection, person_id: str) -> tuple[Invitation, str]:
    """An invitation for a person to choose a new password, and its code. Until it is used the old
    password stays.
    """
    person = people.with_id(connection, person_id)
    return _create(connection, person.name, person.role, person.id)


def listed(connection: sqlite3.Connection) -> list[Invitation]:
    """Those that can still be used, newest first."""
    rows = connection.execute(
        "SELECT * FROM invitations WHERE expires > ? ORDER BY created DESC, id", (now(),)
    )
    return [_from_row(row) for row in rows]


def withdraw(connection: sqlite3.Connection, invitation_id: str) -> None:
    done = connection.execute("DELETE FROM invitations WHERE id = ?", (invitation_id,))
    if done.rowcount == 0:
        raise NotFound("there is no such invitation")


def with_code(connection: sqlite3.Connection, code: str) -> Invitation:
    """The invitation that ``code`` opens; :class:`NotFound` when it was used or ended."""
    row = connection.execute(
        "SELECT * FROM invitations WHERE hash = ? AND expires > ?", (tokens.hashed(code), now())
    ).fetchone()
    if row is None:
        raise NotFound(
            "that invitation is not valid any more",
            hint="ask the owner for a new one",
            code="invitation_invalid",
        )
    return _from_row(row)


def accept(connection: sqlite3.Connection, code: str, password: str) -> Person:
    """Use ``code`` up: the person it is for, with ``password`` (already hashed). A new password
    ends the person's sessions.
    """
    invitation = with_code(connection, code)
    connection.execute("DELETE FROM invitations WHERE id = ?", (invitation.id,))
    if not invitation.person:
        return people.add(connection, invitation.name, invitation.role, password)
    person = people.with_id(connection, invitation.person)
    people.set_password(connection, person, password)
    sessions.end_all(connection, person)
    return person


def _create(
    connection: sqlite3.Connection, name: str, role: str, person: str
) -> tuple[Invitation, str]:
    connection.execute("DELETE FROM invitations WHERE expires <= ?", (now(),))
    # One at a time for each name: an earlier code stops working.
    for invitation in listed(connection):
        if people.key_of(invitation.name) == people.key_of(name):
            withdraw(connection, invitation.id)
    if len(listed(connection)) >= MOST:
        raise Conflict(f"{MOST} open invitations at most", hint="withdraw one")
    made = Invitation(tokens.new_id(), name, role, person, now(), now() + LIFETIME_S)
    code = tokens.new()
    connection.execute(
        "INSERT INTO invitations VALUES (?, ?, ?, ?, ?, ?, ?)",
        (made.id, tokens.hashed(code), name, role, person or None, made.created, made.expires),
    )
    return made, code


def _from_row(row: sqlite3.Row) -> Invitation:
    return Invitation(
        id=row["id"],
        name=row["name"],
        role=row["role"],
        person=row["person"] or "",
        created=row["created"],
        expires=row["expires"],
    )
