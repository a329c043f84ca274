"""A document through our own reader in the sandbox: its records, and the files inside of it.

A reader that ended badly still counts for what it said before; why it ended is told after that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from goni_rag import records, sandbox
from goni_rag.clock import Clock
from goni_rag.confine import Limits
from goni_rag.kinds import Kind
from goni_rag.records import Broken, Note, Part, Refused, Text
from goni_rag.sandbox import End, Outcome

LIMITS = Limits(cpu_s=120, memory=1 << 30, output=256 << 20)
COPIED = 1 << 20
"""Bytes of an attachment that are in memory at once."""


@dataclass(frozen=True)
class Attachment:
    """A file inside a document; ``content`` is open until the next record is asked for."""

    name: str
    heading: str
    content: IO[bytes]


Found = Text | Note | Refused | Attachment


def read(kind: Kind, document: IO[bytes], clock: Clock) -> Iterator[Found]:
    """What ``kind``'s reader finds in ``document``."""
    if not clock.left():
        yield Note("time")
        return
    with sandbox.reader(kind.value, document, LIMITS) as outcome:
        some = False
        try:
            for record in records.parsed(outcome.output):
                if isinstance(record, Part):
                    with _copied(outcome.output, record) as content:
                        yield Attachment(record.name, record.heading, content)
                else:
                    yield record
                some = some or not isinstance(record, Note)
        except Broken:
            reason, note = why(outcome)
            yield Note(note) if some else Refused(reason)


def why(outcome: Outcome) -> tuple[str, str]:
    """Keys of the reason and of the note for a process that ended before its work did."""
    if outcome.end is End.TIME:
        return "time", "time"
    if outcome.end is End.OUTPUT:
        return "archive", "output"
    if "memory" in outcome.said.lower() or "bad_alloc" in outcome.said:
        return "memory", "memory"
    return "damaged", "damaged"


@contextmanager
def _copied(output: IO[bytes], part: Part) -> Iterator[IO[bytes]]:
    """A file of its own with ``part`` in it; ``output`` stays where it is."""
    place = output.tell()
    with tempfile.TemporaryFile(dir=sandbox.WORKPLACE) as content:
        output.seek(part.start)
        left = part.bytes
        while left and (block := output.read(min(left, COPIED))):
            content.write(block)
            left -= len(block)
        content.flush()
        output.seek(place)
        yield content
