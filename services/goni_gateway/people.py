"""The people of the household, and the node they set up.

Setting up makes the owner and names the node in one transaction, once. ``Person.id`` is what other
services know somebody by (``owner`` in the contract); it says nothing about them.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from dataclasses import dataclass

from goni_core import fields
from goni_core.errors import BadInput, Conflict, Forbidden, NotFound
from goni_gateway import tokens
from goni_gateway.database import now

OWNER = "owner"
ROLES = (OWNER, "member")
LOCKED = ""
"""Instead of a password: matches nothing, so nobody signs in with it."""
LONGEST_NAME = 64


@dataclass(frozen=True)
class Person:
    """Somebody who may ask. ``role``: owner or member."""

    id: str
    name: str
    role: str

    @property
    def is_owner(self) -> bool:
        return self.role == OWNER


@dataclass(frozen=True)
class Entry:
    """A person in the owner's list. ``locked``: was being removed and isn't gone yet."""

    id: str
    name: str
    role: str
    created: int
    locked: bool


@dataclass(frozen=True)
class Node:
    """Whether this node belongs to somebody, and what it is called."""

    complete: bool
    name: str


def display_name(value: fields.Object, field: str) -> str:
    """A name that a person chose, in one Unicode form; :class:`BadInput` when it can't be shown."""
    name = unicodedata.normalize("NFC", fields.text(value, field, longest=LONGEST_NAME)).strip()
    if not name or not name.isprintable():
        raise BadInput(f"{field} must have visible characters only", code="bad_value")
    return name


def key_of(name: str) -> str:
    """What two spellings of the same name share."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def name_owner(connection: sqlite3.Connection, name: str, password: str) -> Person:
    """Make ``name`` the owner (``password`` already hashed), instead of whoever was named before;
    :class:`Conflict` once the node is set up.
    """
    _check_open(connection)
    connection.execute("DELETE FROM people")
    return add(connection, name, OWNER, password)


def set_up(connection: sqlite3.Connection, owner: str, password: str, node: str) -> Person:
    """Make ``owner`` (``password`` already hashed) and name the node; :class:`Conflict` when that
    was done before.
    """
    name_owner(connection, owner, password)
    return complete(connection, node)


def complete(connection: sqlite3.Connection, node: str) -> Person:
    """Name the node, which from then on belongs to the owner named before; :class:`Conflict` when
    that was done, :class:`BadInput` when nobody was named.
    """
    _check_open(connection)
    person = owner_of(connection)
    if person is None:
        raise BadInput("nobody was named as the owner", code="no_owner")
    connection.execute("INSERT INTO node VALUES (1, ?, ?)", (node, now()))
    return person


def owner_of(connection: sqlite3.Connection) -> Person | None:
    """The owner who came first; None before one is named."""
    rows = "SELECT * FROM people WHERE role = ? ORDER BY created, rowid LIMIT 1"
    row = connection.execute(rows, (OWNER,)).fetchone()
    return None if row is None else from_row(row)


def _check_open(connection: sqlite3.Connection) -> None:
    if node_of(connection).complete:
        raise Conflict("this node is set up already", code="already_set_up")


def node_of(connection: sqlite3.Connection) -> Node:
    row = connection.execute("SELECT name FROM node").fetchone()
    return Node(False, "") if row is None else Node(True, row["name"])


def add(connection: sqlite3.Connection, name: str, role: str, password: str) -> Person:
    """A new person; :class:`Conflict` when the name is taken."""
    person = Person(tokens.new_id(), name, role)
    try:
        connection.execute(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)",
            (person.id, name, key_of(name), role, password, now()),
        )
    except sqlite3.IntegrityError as error:
        raise taken() from error
    return person


def taken() -> Conflict:
    return Conflict("somebody has that name already", code="name_taken")


def role_from(value: fields.Object) -> str:
    """The field ``role``; member unless said otherwise."""
    role = fields.text(value, "role", default="member")
    if role not in ROLES:
        raise BadInput("role must be owner or member", code="bad_value")
    return role


def listed(connection: sqlite3.Connection) -> list[Entry]:
    """Everybody, in the order they came."""
    rows = connection.execute("SELECT * FROM people ORDER BY created, rowid")
    return [
        Entry(row["id"], row["name"], row["role"], row["created"], row["password"] == LOCKED)
        for row in rows
    ]


def with_id(connection: sqlite3.Connection, person_id: str) -> Person:
    """The person with that id; :class:`NotFound`."""
    row = connection.execute("SELECT * FROM people WHERE id = ?", (person_id,)).fetchone()
    if row is None:
        raise NotFound("there is no such person")
    return from_row(row)


def set_password(connection: sqlite3.Connection, person: Person, password: str) -> None:
    """Store ``password``, which is hashed already."""
    connection.execute("UPDATE people SET password = ? WHERE id = ?", (password, person.id))


def lock_out(connection: sqlite3.Connection, owner: Person, person_id: str, name: str) -> None:
    """Take away every way in that the person has; the first step of removing them.

    :class:`BadInput` unless ``name`` is theirs (so that no slip of the finger removes anybody),
    :class:`Conflict` for ``owner`` themselves: so a node always keeps one.
    """
    person = with_id(connection, person_id)
    if owner.id == person.id:
        raise Conflict("nobody can remove themselves", hint="another owner can")
    if not _is_active_owner(connection, owner.id):
        raise Forbidden("only the owner of this node may do that")
    if key_of(name) != key_of(person.name):
        raise BadInput("name must be the person's", code="not_confirmed")
    close_out(connection, person.id)


def close_out(connection: sqlite3.Connection, person_id: str) -> None:
    """Take away every way in that this person has."""
    connection.execute("UPDATE people SET password = ? WHERE id = ?", (LOCKED, person_id))
    for statement in (
        "DELETE FROM sessions WHERE person = ?",
        "DELETE FROM keys WHERE person = ?",
        "DELETE FROM invitations WHERE person = ?",
    ):
        connection.execute(statement, (person_id,))


def locked(connection: sqlite3.Connection, person_id: str) -> bool:
    """Whether the person was locked out (:func:`lock_out`), or is gone altogether."""
    row = connection.execute("SELECT password FROM people WHERE id = ?", (person_id,)).fetchone()
    return row is None or row["password"] == LOCKED


def _is_active_owner(connection: sqlite3.Connection, person_id: str) -> bool:
    """Whether they still are, now: two owners may be removing each other."""
    row = connection.execute("SELECT * FROM people WHERE id = ?", (person_id,)).fetchone()
    return row is not None and row["role"] == OWNER and row["password"] != LOCKED


def remove(connection: sqlite3.Connection, person_id: str) -> None:
    """Delete the person, and with them their chats and log of sign-ins."""
    connection.execute("DELETE FROM people WHERE id = ?", (person_id,))


def named(connection: sqlite3.Connection, name: str) -> tuple[Person, str] | None:
    """The person called ``name`` and their stored password."""
    row = connection.execute("SELECT * FROM people WHERE name_key = ?", (key_of(name),)).fetchone()
    return None if row is None else (from_row(row), row["password"])


def from_row(row: sqlite3.Row) -> Person:
    return Person(row["id"], row["name"], row["role"])
