"""Mailboxes (.mbox, RFC 4155): one message after the other; a bad one doesn't spoil the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from goni_rag.readers import mail
from goni_rag.records import Writer
from goni_rag.sections import Unreadable

LONGEST_LINE = 1 << 20
"""Bytes; a longer line is taken for several."""
MOST_MESSAGES = 50_000


def read(document: IO[bytes], out: Writer) -> None:
    """Every message in ``document``."""
    for number, message in enumerate(messages(document, out)):
        if number == MOST_MESSAGES:
            return out.note("parts")
        try:
            mail.write(message, out)
        except (Unreadable, RecursionError, MemoryError):
            out.note("damaged")
    return None


def messages(document: IO[bytes], out: Writer) -> Iterator[bytes]:
    """The messages between the lines that begin with "From "."""
    lines: list[bytes] = []
    size = 0
    blank = True
    while line := document.readline(LONGEST_LINE):
        if blank and line.startswith(b"From "):
            if size:
                yield b"".join(lines)
            lines, size = [], 0
        elif size + len(line) <= mail.LIMIT:
            # What looks like a beginning was quoted by whoever wrote the mailbox.
            quoted = line.startswith(b">") and line.lstrip(b">").startswith(b"From ")
            lines.append(line[1:] if quoted else line)
            size += len(line)
        else:
            out.note("cut")
        blank = not line.strip()
    if size:
        yield b"".join(lines)
