"""What a confined reader says: JSON lines on its standard output, one record each.

    {"text": ..., "page": 3, "heading": "House > Heating"}    in reading order
    {"part": "plan.pdf", "heading": ..., "bytes": 1234}       a file in it: so many bytes follow
    {"note": "guessed"}                                       lost or guessed: ``sections.NOTES``
    {"unreadable": "encrypted"}                               why not: ``sections.REASONS``
    {"end": true}                                             all of it was read

The writing half runs beside hostile documents, so the reading half believes nothing: every field is
typed and limited, and words for people come from our own tables only.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from goni_core import fields
from goni_core.errors import BadInput
from goni_rag.sections import NOTES, REASONS

LONGEST_TEXT = 1 << 17
"""Characters of one record."""
LONGEST_LINE = 1 << 20
"""Bytes of one line: a character takes at most six of JSON."""
LONGEST_HEADING = 300
LONGEST_NAME = 250
MOST_PAGES = 1_000_000
PART_LIMIT = 512 << 20
TEXT_ROOM = 48 << 20
"""Bytes of the output that files inside leave to the text."""


@dataclass(frozen=True)
class Text:
    """A stretch of text; page 0 where there are none."""

    text: str
    page: int
    heading: str


@dataclass(frozen=True)
class Part:
    """A file inside the document: ``bytes`` of the output from ``start`` on."""

    name: str
    heading: str
    start: int
    bytes: int


@dataclass(frozen=True)
class Note:
    """A key of ``NOTES``."""

    key: str


@dataclass(frozen=True)
class Refused:
    """A key of ``REASONS``."""

    key: str


Record = Text | Part | Note | Refused


class Writer:
    """The reader's side."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._noted: set[str] = set()
        self._some = False
        self._room = resource.getrlimit(resource.RLIMIT_FSIZE)[0]

    def text(self, text: str, page: int = 0, heading: str = "") -> None:
        """Text of one page under one heading, of any length."""
        self._some = True
        text = text.replace("\x00", " ").encode("utf-8", "replace").decode()
        start = 0
        while start < len(text):
            stop = _cut(text, start)
            self._line({"text": text[start:stop], "page": page, "heading": _brief(heading)})
            start = stop

    def part(self, name: str, data: bytes, heading: str = "") -> None:
        """A file inside the document, to be read by itself; left out when the limit of our output
        is near.
        """
        if 0 <= self._room < self._sink.tell() + len(data) + TEXT_ROOM:
            return self.note("parts")
        self._some = True
        head = {"part": name[-LONGEST_NAME:], "heading": _brief(heading), "bytes": len(data)}
        self._line(head)
        self._sink.write(data)
        return None

    def note(self, key: str) -> None:
        if key not in self._noted:
            self._noted.add(key)
            self._line({"note": key})

    def unreadable(self, key: str) -> None:
        self._line({"unreadable": key})

    def gave_up(self, key: str) -> None:
        """What stopped the reader: a note when there is text already, else the reason for none."""
        if self._some:
            self.note(key)
        else:
            self.unreadable(key)

    def end(self) -> None:
        self._line({"end": True})
        self._sink.flush()

    def _line(self, record: dict[str, object]) -> None:
        self._sink.write(json.dumps(record).encode("ascii") + b"\n")


def _cut(text: str, start: int) -> int:
    """Where the record that begins at ``start`` ends: after a line if it can't take all."""
    stop = start + LONGEST_TEXT
    if stop >= len(text):
        return len(text)
    line = text.rfind("\n", start, stop) + 1
    return line if line > start else stop


def _brief(heading: str) -> str:
    return " ".join(heading.split())[:LONGEST_HEADING]


def parsed(output: IO[bytes]) -> Iterator[Record]:
    """The records of ``output`` up to its end, or to what is none. Raises :class:`Broken` when the
    last of them isn't the one that says that all was read.
    """
    while True:
        line = output.readline(LONGEST_LINE)
        try:
            found = fields.parse(line)
            if "end" in found:
                return
            record = _record(found, output.tell())
        except BadInput as error:
            raise Broken from error
        if isinstance(record, Part):
            output.seek(record.start + record.bytes)
        yield record


class Broken(Exception):
    """The output isn't what a reader that came to its end writes."""


def _record(found: fields.Object, place: int) -> Record:
    if "text" in found:
        return Text(
            _printable(fields.text(found, "text", longest=LONGEST_TEXT)),
            fields.integer(found, "page", least=0, most=MOST_PAGES),
            _printable(fields.text(found, "heading", longest=LONGEST_HEADING, default="")),
        )
    if "part" in found:
        return Part(
            _printable(fields.text(found, "part", longest=LONGEST_NAME, default="")),
            _printable(fields.text(found, "heading", longest=LONGEST_HEADING, default="")),
            place,
            fields.integer(found, "bytes", least=0, most=PART_LIMIT),
        )
    if "note" in found:
        return Note(_known(found, "note", NOTES))
    return Refused(_known(found, "unreadable", REASONS))


def _known(found: fields.Object, name: str, table: dict[str, str]) -> str:
    key = fields.text(found, name)
    if key not in table:
        raise BadInput(f"{name} is unknown")
    return key


def _printable(text: str) -> str:
    """``text`` without control characters, which terminals and pages would obey."""
    return text.translate(CONTROLS)


CONTROLS = {code: " " for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
