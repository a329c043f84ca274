"""Pictures in the page's chats: taken as ``data:`` URLs, kept with the question they belong to, and
shown to the model again while the chat goes on.

The page makes them small before it sends them. Whether they are sound is for the engine to say: a
question is kept only once it has been answered.
"""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from goni_core import fields
from goni_core.errors import BadInput, NotFound, TooLarge
from goni_gateway.people import Person
from goni_gateway.prompt import Message

MOST = 4
"""Pictures of one question."""
LARGEST = 2 << 20
"""Bytes of one; the page sends about a quarter of that."""
SHOWN = 8
"""Pictures of a chat that the model sees, the latest; what the engine takes at once is more."""
LEFT_OUT = "The chat's pictures were left out, since this model does not read any."
OLD = "Only the latest pictures of this chat were shown to the model."
_URL = re.compile(r"data:image/(png|jpeg|gif);base64,")


@dataclass(frozen=True)
class Picture:
    """A picture's bytes; ``kind``: png, jpeg or gif."""

    kind: str
    data: bytes

    @property
    def url(self) -> str:
        return f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode()}"


def given(body: fields.Object) -> tuple[Picture, ...]:
    """The ``pictures`` of a request; :class:`BadInput` for what is none, :class:`TooLarge`."""
    urls = body.get("pictures", [])
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise BadInput("pictures must be a list of data: URLs", code="bad_type")
    if len(urls) > MOST:
        raise BadInput(f"{MOST} pictures with one question at most", code="too_many_pictures")
    return tuple(map(_picture, urls))


def _picture(url: str) -> Picture:
    head = _URL.match(url)
    if head is None:
        raise BadInput(
            "a picture must be a data: URL of a PNG, JPEG or GIF", code="unsupported_picture"
        )
    if len(url) - head.end() > LARGEST * 4 // 3 + 4:
        raise TooLarge(f"a picture is larger than {LARGEST >> 20} MiB", hint="send a smaller one")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput("a picture is not in base64", code="unsupported_picture") from error
    return Picture(head[1], data)


def message(text: str, pictures: Sequence[Picture]) -> Message:
    """A person's message as OpenAI's API has it."""
    if not pictures:
        return {"role": "user", "content": text}
    shown = [{"type": "image_url", "image_url": {"url": picture.url}} for picture in pictures]
    return {"role": "user", "content": [{"type": "text", "text": text}, *shown]}


def keep(connection: sqlite3.Connection, question: int, pictures: Sequence[Picture]) -> None:
    """Store ``pictures`` with the message ``question``, with which they are deleted."""
    connection.executemany(
        "INSERT INTO pictures (message, kind, data) VALUES (?, ?, ?)",
        [(question, picture.kind, picture.data) for picture in pictures],
    )


def of_chat(connection: sqlite3.Connection, chat: str) -> dict[int, tuple[int, ...]]:
    """The ids of a chat's pictures, by message."""
    rows = connection.execute(
        "SELECT pictures.message, pictures.id FROM pictures JOIN messages"
        " ON messages.id = pictures.message WHERE messages.chat = ? ORDER BY pictures.id",
        (chat,),
    )
    found: dict[int, tuple[int, ...]] = {}
    for question, picture in rows:
        found[question] = (*found.get(question, ()), picture)
    return found


def read(connection: sqlite3.Connection, person: Person, chat: str, picture: int) -> Picture:
    """One picture; :class:`NotFound` unless it is in this chat, and the chat the person's."""
    row = connection.execute(
        "SELECT pictures.kind, pictures.data FROM pictures"
        " JOIN messages ON messages.id = pictures.message JOIN chats ON chats.id = messages.chat"
        " WHERE pictures.id = ? AND chats.id = ? AND chats.person = ?",
        (picture, chat, person.id),
    ).fetchone()
    if row is None:
        raise NotFound("there is no such picture")
    return Picture(*row)


def read_all(
    connection: sqlite3.Connection, person: Person, chat: str, ids: Sequence[int]
) -> dict[int, Picture]:
    """Those of the pictures ``ids`` that are there, by id."""
    return {one: read(connection, person, chat, one) for one in ids}
