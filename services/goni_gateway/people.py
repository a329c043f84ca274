"""The people of the household, and the node they set up.

Setting up makes the owner and names the node in one transaction, once. ``Person.id`` is what other
services know somebody by (``owner`` in the contract); it says nothing about them.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from dataclasses import dataclass

from goni_core import fields
from goni_core.errors import BadInput, Conflict
from goni_gateway import tokens
from goni_gateway.database import now

OWNER = "owner"
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


def set_up(connection: sqlite3.Connection, owner: str, password: str, node: str) -> Person:
    """Make ``owner`` (``password`` already hashed) and name the node; :class:`Conflict` when that
    was done before.
    """
    if node_of(connection).complete:
        raise Conflict("this node is set up already", code="already_set_up")
    person = add(connection, owner, OWNER, password)
    connection.execute("INSERT INTO node VALUES (1, ?, ?)", (node, now()))
    return person


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
        raise Conflict("somebody has that name already", code="name_taken") from error
    return person


def named(connection: sqlite3.Connection, name: str) -> tuple[Person, str] | None:
    """The person called ``name`` and their stored password."""
    row = connection.execute("SELECT * FROM people WHERE name_key = ?", (key_of(name),)).fetchone()
    return None if row is None else (from_row(row), row["password"])


def from_row(row: sqlite3.Row) -> Person:
    return Person(row["id"], row["name"], row["role"])
