"""E-mail (RFC 5322, MIME): who wrote what to whom and when, the text, and files attached to it.

Messages attached to a message are read in place, three deep.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.message import EmailMessage, Message
from email.parser import BytesParser
from typing import IO, cast

from goni_rag.readers import html, text
from goni_rag.records import Writer
from goni_rag.sections import Unreadable

FIELDS = ("From", "To", "Cc", "Date", "Subject")
LONGEST_FIELD = 500
DEEPEST = 3
MOST_PARTS = 200
LIMIT = 64 << 20
"""Bytes of one message."""
LONGEST_BODY = 1 << 20
"""Characters of one part, so that no message takes the room of all others in a mailbox."""
INLINE = (".txt", ".text", ".log", ".md")
"""Attachments that need no process of their own."""


def read(document: IO[bytes], out: Writer) -> None:
    """The message in ``document``."""
    data = document.read(LIMIT + 1)
    if len(data) > LIMIT:
        out.note("cut")
    write(data[:LIMIT], out)


def write(data: bytes, out: Writer) -> None:
    """The message ``data``; raises :class:`Unreadable` when it is none."""
    message = BytesParser(policy=policy.default).parsebytes(data)
    if not any(_field(message, name) for name in FIELDS):
        raise Unreadable("damaged")
    _message(message, out, "", 0)


def _message(message: Message, out: Writer, outer: str, depth: int) -> None:
    subject = _field(message, "Subject") or "(no subject)"
    heading = f"{outer} > {subject}" if outer else subject
    fields = ((name, _field(message, name)) for name in FIELDS)
    out.text(
        "".join(f"{name}: {value}\n" for name, value in fields if value) + "\n", heading=heading
    )
    for number, part in enumerate(_leaves(message)):
        if number == MOST_PARTS:
            return out.note("parts")
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload()
            if depth < DEEPEST and isinstance(inner, list) and inner:
                _message(cast(Message, inner[0]), out, heading, depth + 1)
            else:
                out.note("nested")
        else:
            try:
                _part(part, out, heading)
            except Unreadable:
                out.note("parts")
    return None


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that hold something, without the plain text's double in HTML."""
    stack = [message]
    while stack:
        part = stack.pop()
        kind = part.get_content_type()
        inner = part.get_payload()
        if kind == "message/rfc822" or not isinstance(inner, list):
            yield part
        elif kind == "multipart/alternative":
            stack.append(_best([cast(Message, one) for one in inner]))
        else:
            stack.extend(cast(Message, one) for one in reversed(inner))


def _best(choices: list[Message]) -> Message:
    plain = [one for one in choices if one.get_content_type() == "text/plain"]
    filled = [one for one in plain if _decoded(one).strip()]
    return (filled or choices[-1:] or plain)[0]


def _part(part: Message, out: Writer, heading: str) -> None:
    name = _name(part)
    kind = part.get_content_type()
    attached = part.get_content_disposition() == "attachment" or bool(name)
    data = _decoded(part)
    if kind == "text/html" and not attached:
        html.write(data, out, heading, charset=_charset(part, data))
    elif part.get_content_maintype() == "text" and not attached:
        _body(data.decode(_charset(part, data) or "utf-8", errors="replace"), out, heading)
    elif name.lower().endswith(INLINE):
        _body(text.decode(data, whole=True)[0], out, f"{heading} > {name}")
    elif attached and data:
        out.part(name or "attachment", data, heading)


def _body(words: str, out: Writer, heading: str) -> None:
    if len(words) > LONGEST_BODY:
        out.note("long")
    out.text(words[:LONGEST_BODY].replace("\r\n", "\n").rstrip() + "\n", heading=heading)


def _decoded(part: Message) -> bytes:
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _charset(part: Message, data: bytes) -> str:
    """The encoding that the part names, if there is one of that name, else the likely one."""
    try:
        named = part.get_content_charset("") or ""
        codecs.lookup(named or "utf-8")
        if named and named != "us-ascii":
            return named
        data.decode("utf-8")
    except (LookupError, UnicodeDecodeError, ValueError):
        return "windows-1252"
    return "utf-8"


def _name(part: Message) -> str:
    try:
        return (part.get_filename("") or "").strip()
    except (LookupError, ValueError, MessageError):
        return ""


def _field(message: Message, name: str) -> str:
    """A header's words; of one that can't be parsed, what stands there."""
    try:
        value = str(cast(EmailMessage, message).get(name, ""))
    except Exception:  # the header parser fails in many ways on forged ones
        value = next((str(v) for k, v in message.raw_items() if k.lower() == name.lower()), "")
    return " ".join(value.split())[:LONGEST_FIELD]
