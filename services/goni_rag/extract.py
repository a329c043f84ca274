"""From a file to its text: the only door to what is inside of documents.

    file -> its kind -> a confined process, or several -> records -> sections

Everything that looks inside runs in the sandbox; this side sees records and never believes them.
Files within files (attachments) are read the same way, each by itself. What can't be read is
:class:`Unreadable` with the reason in a person's words, never an error of the service; what can be
read in part is, and the note says so.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from goni_core.contract import DOCUMENT_LIMIT
from goni_rag import confined, kinds, pdf, picture
from goni_rag.clock import Clock
from goni_rag.confined import Attachment, Found
from goni_rag.gathering import Gathering
from goni_rag.kinds import Kind
from goni_rag.records import Note, Refused, Text
from goni_rag.sections import Extract, Unreadable

VERSION = 2
"""Of all that decides what text a file has; another one means to read files again."""
SECONDS = 900.0
"""For one document with everything in it."""
DEEPEST = 3
"""Files within files within the document."""
MOST_PARTS = 500


def read(path: Path, name: str = "") -> Extract:
    """The text of the file at ``path``, which a person knows as ``name``; blocking, for seconds or,
    where pictures are read, minutes. Raises :class:`Unreadable`.
    """
    with _opened(path) as document:
        before = os.fstat(document.fileno())
        gathering = Gathering(parts=MOST_PARTS)
        try:
            _take(document, name or path.name, gathering, Clock(SECONDS))
        finally:
            if _differ(before, os.fstat(document.fileno())):
                raise Unreadable("changed")
    return gathering.extract()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The regular file at ``path``; no link is followed, no pipe waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise Unreadable("gone") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("gone")
        if found.st_size > DOCUMENT_LIMIT:
            raise Unreadable("large")
        with os.fdopen(handle, "rb", buffering=0, closefd=False) as document:
            yield document
    finally:
        os.close(handle)


def _differ(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)


def _take(
    document: IO[bytes], name: str, into: Gathering, clock: Clock, heading: str = "", depth: int = 0
) -> None:
    """Add the text of ``document`` to ``into``; raises :class:`Unreadable`."""
    kind = kinds.kind_of(name, os.pread(document.fileno(), kinds.HEAD, 0))
    for found in _read(kind, document, clock):
        match found:
            case Text(text, page, inner):
                into.text(text, page, _under(heading, inner))
            case Note(key):
                into.note(key)
            case Refused(key):
                raise Unreadable(key)
            case Attachment(inner_name, inner, content):
                if depth == DEEPEST or not into.another_part() or not clock.left():
                    into.note("parts")
                    continue
                try:
                    where = _under(heading, _under(inner, inner_name))
                    _take(content, inner_name, into, clock, where, depth + 1)
                except Unreadable:
                    into.note("parts")
        if into.full:
            return


def _read(kind: Kind, document: IO[bytes], clock: Clock) -> Iterator[Found]:
    if kind is Kind.PDF:
        return pdf.read(document, clock)
    if kind is Kind.PICTURE:
        return picture.read(document, clock)
    return confined.read(kind, document, clock)


def _under(outer: str, inner: str) -> str:
    return f"{outer} > {inner}" if outer and inner else outer or inner
