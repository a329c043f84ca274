"""Kept chats: each person's own, so that they are there after a reboot. A question is stored
together with its answer, in one transaction, when the answer is done or was stopped.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from goni_core.errors import Conflict, NotFound
from goni_gateway import pictures, tokens
from goni_gateway.database import now
from goni_gateway.people import Person
from goni_gateway.pictures import Picture

MOST_CHATS = 5000
MOST_MESSAGES = 2000
TITLE = 60


@dataclass(frozen=True)
class Chat:
    """A chat in the list. Times are seconds since 1970."""

    id: str
    title: str
    created: int
    updated: int


@dataclass(frozen=True)
class Entry:
    """One message. ``goni`` is what came with an answer (sources, cuts, notes); ``stopped``: the
    answer isn't whole; ``pictures``: the ids of those that came with a question.
    """

    role: str
    content: str
    model: str = ""
    goni: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    created: int = 0
    pictures: tuple[int, ...] = ()


def create(connection: sqlite3.Connection, person: Person) -> Chat:
    """An empty chat; it takes its title from the first question. :class:`Conflict` over
    :data:`MOST_CHATS`.
    """
    connection.execute(
        "DELETE FROM chats WHERE person = ? AND title = '' AND updated < ?",
        (person.id, now() - 24 * 3600),
    )
    count = connection.execute(
        "SELECT count(*) FROM chats WHERE person = ?", (person.id,)
    ).fetchone()[0]
    if count >= MOST_CHATS:
        raise Conflict(f"{MOST_CHATS} chats at most", hint="delete some old ones")
    chat = Chat(tokens.new_id(), "", now(), now())
    connection.execute(
        "INSERT INTO chats VALUES (?, ?, ?, ?, ?)",
        (chat.id, person.id, chat.title, chat.created, chat.updated),
    )
    return chat


def listed(connection: sqlite3.Connection, person: Person) -> list[Chat]:
    """The person's chats that have something in them, latest first."""
    rows = connection.execute(
        "SELECT id, title, created, updated FROM chats WHERE person = ? AND title != ''"
        " ORDER BY updated DESC, id",
        (person.id,),
    )
    return [Chat(*row) for row in rows]


def read(connection: sqlite3.Connection, person: Person, chat_id: str) -> tuple[Chat, list[Entry]]:
    """A chat and its messages; :class:`NotFound` unless it is the person's."""
    row = connection.execute(
        "SELECT id, title, created, updated FROM chats WHERE id = ? AND person = ?",
        (chat_id, person.id),
    ).fetchone()
    if row is None:
        raise NotFound("there is no such chat")
    rows = connection.execute("SELECT * FROM messages WHERE chat = ? ORDER BY id", (chat_id,))
    found = pictures.of_chat(connection, chat_id)
    return Chat(*row), [_entry(row, found.get(row["id"], ())) for row in rows]


def append(
    connection: sqlite3.Connection,
    person: Person,
    chat_id: str,
    question: str,
    answer: Entry,
    shown: Sequence[Picture] = (),
) -> None:
    """Keep ``question``, the pictures ``shown`` with it, and its ``answer``; a chat deleted
    meanwhile stays deleted (:class:`NotFound`).
    """
    chat, entries = read(connection, person, chat_id)
    check_room(entries)
    for entry in (Entry("user", question, answer.model), answer):
        stored = connection.execute(
            "INSERT INTO messages (chat, role, content, model, goni, stopped, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                chat_id,
                entry.role,
                entry.content,
                entry.model,
                json.dumps(entry.goni),
                entry.stopped,
                now(),
            ),
        )
        if entry.role == "user":
            pictures.keep(connection, stored.lastrowid or 0, shown)
    connection.execute(
        "UPDATE chats SET title = ?, updated = ? WHERE id = ?",
        (chat.title or title_of(question), now(), chat_id),
    )


def check_room(entries: list[Entry]) -> None:
    if len(entries) >= MOST_MESSAGES:
        raise Conflict("this chat is full", hint="start a new one")


def delete(connection: sqlite3.Connection, person: Person, chat_id: str) -> None:
    done = connection.execute("DELETE FROM chats WHERE id = ? AND person = ?", (chat_id, person.id))
    if done.rowcount == 0:
        raise NotFound("there is no such chat")


def title_of(question: str) -> str:
    """A chat's title: its first question, shortened."""
    words = " ".join(question.split()) or "Untitled"
    return words if len(words) <= TITLE else words[: TITLE - 1].rstrip() + "…"


def _entry(row: sqlite3.Row, shown: tuple[int, ...]) -> Entry:
    return Entry(
        role=row["role"],
        content=row["content"],
        model=row["model"],
        goni=json.loads(row["goni"]),
        stopped=bool(row["stopped"]),
        created=row["created"],
        pictures=shown,
    )
