"""The household's accounts: what the roster says of its people, and this node's table of them, made
one in a single step (:func:`settle`) that may be repeated at any time.

Fields of the roster: ``person/ID`` {"name", "role", "created"}, ``person/ID/password`` (argon2id),
``person/ID/removed`` true, which is final. ``told`` is what both sides last agreed on: what differs
from it here is to be told, what differs from it there is taken over. Nothing that isn't a whole,
plausible account is taken.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from goni_core import fields
from goni_core.errors import BadInput
from goni_gateway import people, tokens

FIELD = re.compile(r"person/([0-9a-f]{16})(/password|/removed)?")
HASH = re.compile(r"\$argon2id\$[A-Za-z0-9$=,+/]{20,400}")
HOUSEHOLD = ""
"""The key under which ``told`` keeps the household that it is about."""
MOST_CREATED = 1 << 40


@dataclass(frozen=True)
class Account:
    """A person as the roster has them."""

    id: str
    name: str
    role: str
    created: int
    password: str
    removed: bool


def settle(
    connection: sqlite3.Connection, household: str, found: Mapping[str, object]
) -> list[tuple[str, object]]:
    """Take over what ``found``, the roster's fields, has new; returns the fields to tell it."""
    whole = accounts(found)
    found = {key: value for key, value in found.items() if _id(key) in whole}
    complete = people.node_of(connection).complete
    if not complete and whole:
        # Whoever was named while setting up gives way to the household's own people.
        _forget_all_but(connection, whole)
    told = _entered(connection, household, found)
    # Before it is set up, a node has nobody to tell of.
    say = _news(connection, told) if complete else {}
    for account in named(whole.values()):
        _take(connection, account, say)
    for key, value in found.items():
        if key not in say and told.get(key) != value:
            note(connection, key, value)
    return sorted(say.items())


def note(connection: sqlite3.Connection, key: str, value: object) -> None:
    """Both sides agree on that field now."""
    connection.execute("REPLACE INTO told VALUES (?, ?)", (key, json.dumps(value)))


def household(connection: sqlite3.Connection) -> str:
    """The id of the household that this node's accounts are in step with; empty for none."""
    row = connection.execute("SELECT value FROM told WHERE key = ?", (HOUSEHOLD,)).fetchone()
    return str(json.loads(row["value"])) if row else ""


def leaving(connection: sqlite3.Connection) -> list[str]:
    """Ids of people who are locked out, whose documents and row are still to be deleted."""
    rows = connection.execute("SELECT id FROM people WHERE password = ?", (people.LOCKED,))
    return [row["id"] for row in rows]


def accounts(found: Mapping[str, object]) -> dict[str, Account]:
    """Every whole account among the roster's fields, by id. When all owners were removed, by each
    other in a split, the first of them stays.
    """
    ids = {_id(key) for key in found} - {""}
    whole = {one: read for one in ids if (read := _account(one, found)) is not None}
    owners = [one for one in whole.values() if one.role == people.OWNER]
    if owners and all(one.removed for one in owners):
        first = min(owners, key=lambda one: (one.created, one.id))
        whole[first.id] = replace(first, removed=False)
    return whole


def named(whole: Iterable[Account]) -> list[Account]:
    """The accounts with names that differ, the same on every node: of two that were given the same
    name on two sides of a split, the later one gets a number.
    """
    taken: set[str] = set()
    result = []
    for account in sorted(whole, key=lambda one: (one.removed, one.created, one.id)):
        name, number = account.name, 1
        while people.key_of(name) in taken:
            number += 1
            name = f"{account.name} ({number})"
        taken.add(people.key_of(name))
        result.append(replace(account, name=name))
    return result


def _account(person: str, found: Mapping[str, object]) -> Account | None:
    about, key = found.get(f"person/{person}"), f"person/{person}/password"
    if not isinstance(about, dict):
        return None
    try:
        password = fields.text(found, key, longest=500)
        read = Account(
            person,
            people.display_name(about, "name"),
            people.role_from(about),
            fields.integer(about, "created", least=0, most=MOST_CREATED),
            password,
            found.get(f"person/{person}/removed") is True,
        )
    except BadInput:
        return None
    return read if HASH.fullmatch(password) else None


def _id(key: str) -> str:
    match = FIELD.fullmatch(key)
    return match[1] if match else ""


def _entered(
    connection: sqlite3.Connection, household: str, found: Mapping[str, object]
) -> dict[str, object]:
    """What was told to ``household``. To one that is new to this node and has people, nobody from
    before is told of: who joins brings no accounts along.
    """
    rows = connection.execute("SELECT key, value FROM told")
    told: dict[str, object] = {row["key"]: json.loads(row["value"]) for row in rows}
    if told.pop(HOUSEHOLD, None) == household:
        return told
    connection.execute("DELETE FROM told")
    note(connection, HOUSEHOLD, household)
    told = _news(connection, {}) if found else {}
    for key, value in told.items():
        note(connection, key, value)
    return told


def _news(connection: sqlite3.Connection, told: Mapping[str, object]) -> dict[str, object]:
    """What this node's table says differently from ``told``."""
    ours: dict[str, object] = {}
    for row in connection.execute("SELECT * FROM people"):
        key = f"person/{row['id']}"
        about = {"name": row["name"], "role": row["role"], "created": row["created"]}
        # Said once: a name only changes here when another node has to be told apart.
        ours[key] = told.get(key, about)
        if row["password"] == people.LOCKED:
            ours[f"{key}/removed"] = True
        elif HASH.fullmatch(row["password"]):
            ours[f"{key}/password"] = row["password"]
    for key in told:
        if key == f"person/{_id(key)}" and key not in ours:
            ours[f"{key}/removed"] = True
    return {key: value for key, value in ours.items() if told.get(key) != value}


def _take(connection: sqlite3.Connection, account: Account, say: Mapping[str, object]) -> None:
    key = f"person/{account.id}"
    row = connection.execute("SELECT * FROM people WHERE id = ?", (account.id,)).fetchone()
    if f"{key}/removed" in say or (account.removed and row is None):
        return
    if account.removed:
        if row["password"] != people.LOCKED:
            people.close_out(connection, account.id)
        return
    if row is None or row["name"] != account.name:
        _make_way(connection, account)
    if row is None:
        values = (account.id, account.name, people.key_of(account.name), account.role)
        connection.execute(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)",
            (*values, account.password, account.created),
        )
        return
    connection.execute(
        "UPDATE people SET name = ?, name_key = ? WHERE id = ?",
        (account.name, people.key_of(account.name), account.id),
    )
    if row["password"] != account.password and f"{key}/password" not in say:
        people.set_password(connection, people.from_row(row), account.password)
        connection.execute("DELETE FROM sessions WHERE person = ?", (account.id,))


def _make_way(connection: sqlite3.Connection, account: Account) -> None:
    """Nobody else has the account's name: whoever does gets their own in this pass or the next."""
    aside = tokens.new_id()
    connection.execute(
        "UPDATE people SET name = name || ' (' || ? || ')', name_key = ? "
        "WHERE name_key = ? AND id != ?",
        (aside[:4], aside, people.key_of(account.name), account.id),
    )


def _forget_all_but(connection: sqlite3.Connection, whole: Mapping[str, Account]) -> None:
    for row in connection.execute("SELECT id FROM people").fetchall():
        if row["id"] not in whole:
            people.remove(connection, row["id"])
