"""Passages of a size that the embedding model takes, cut where the text itself has a joint.

A section is cut at paragraphs, else lines, else sentences, else words, else anywhere; neighbours
are put together again as long as they fit. The document's name and headings are embedded with each
passage, so their size counts too.

Sizes are counted in the embedding model's own tokens (``wordpiece``); where its vocabulary can't be
had they are estimated: a token of about four letters, two digits or one sign.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from goni_core.contract import EMBEDDING_CONTEXT
from goni_rag import wordpiece
from goni_rag.sections import Extract, Section

VERSION = 2
"""Of how texts are cut; another one means to cut them again."""
ROOM = EMBEDDING_CONTEXT - 56
"""Tokens of a passage with its name and heading: what the model takes, less its two end marks and
what words cut in two may add. A passage on fewer matters is also found more surely.
"""
CAPTION = 40
"""Of these, at most so many for name and heading."""
ESTIMATED = re.compile(r"(?<=[A-Za-z]{8})[A-Za-z]{1,3}|[A-Za-z]{1,4}|[0-9]{1,2}|\S")
"""Long words (German ones) fall into smaller pieces."""
RUN = re.compile(r"\S+")
LONGEST_TOKEN = 16
"""Characters that count as one token at most: blank space and words that the model doesn't know
would else make passages of megabytes.
"""
CACHED = 40
"""Characters of a word that may come again."""
LEAST = ROOM // 4
"""Characters under which a piece is not worth a cut of its own."""
JOINTS = tuple(
    re.compile(joint) for joint in (r"\n[ \t]*\n", r"\n", r"[.!?;]\s|[。！？；]", r"\s+")
)

Span = tuple[int, int, int]
"""Start, stop, and tokens between them."""


@dataclass(frozen=True)
class Chunk:
    """A passage; ``start`` and ``stop`` count characters of the extracted text."""

    text: str
    page: int
    heading: str
    start: int
    stop: int


def tokens(text: str) -> int:
    """How many of the embedding model's tokens ``text`` has."""
    runs = text.split()
    blanks = len(text) - sum(map(len, runs)) - len(runs)
    return sum(map(_tokens_of, runs)) + max(0, -(-blanks // LONGEST_TOKEN))


def _tokens_of(run: str) -> int:
    return _remembered(run) if len(run) <= CACHED else _counted(run)


def _counted(run: str) -> int:
    model = wordpiece.model()
    count = model.count(run) if model else len(ESTIMATED.findall(run))
    return max(count, -(-len(run) // LONGEST_TOKEN))


_remembered = functools.lru_cache(1 << 15)(_counted)


def split(extract: Extract, name: str) -> tuple[Chunk, ...]:
    """All passages of a document called ``name``, in reading order."""
    return tuple(chunk for section in extract.sections for chunk in _passages(section, name))


def embedded_text(name: str, heading: str, text: str) -> str:
    """What the model sees of a passage: where it stands, then the passage."""
    return f"{caption(name, heading)}\n{text}"


def caption(name: str, heading: str) -> str:
    """A document's name without its ending, and the innermost headings, cut to
    :data:`CAPTION`.
    """
    title = clipped(PurePath(name).stem, CAPTION // 2)
    if not heading:
        return title
    words = " > ".join(heading.split(" > ")[-2:])
    return f"{title}\n{clipped(words, CAPTION // 2)}"


def clipped(text: str, room: int) -> str:
    """The beginning of ``text`` that has at most ``room`` tokens."""
    if tokens(text) <= room:
        return text
    size = 0
    for run in RUN.finditer(text):
        size += _tokens_of(run[0])
        if size > room:
            left = room - size + _tokens_of(run[0])
            return text[: run.start() + _fitting(run[0], left)].rstrip()
    return text[: room * LONGEST_TOKEN]


def _fitting(run: str, room: int) -> int:
    """How many characters of ``run`` have at most ``room`` tokens."""
    least, most = 0, min(len(run), room * LONGEST_TOKEN)
    while least < most:
        middle = (least + most + 1) // 2
        if _tokens_of(run[:middle]) <= room:
            least = middle
        else:
            most = middle - 1
    return least


def _passages(section: Section, name: str) -> Iterator[Chunk]:
    room = ROOM - tokens(caption(name, section.heading))
    whole = (0, len(section.text), _size(section.text, 0, len(section.text)))
    for start, stop in _packed(_pieces(section.text, whole, room, 0), room):
        text = section.text[start:stop]
        begin = start + len(text) - len(text.lstrip())
        if begin == stop:
            continue
        text = text.strip()
        base = section.start + begin
        yield Chunk(text, section.page, section.heading, base, base + len(text))


def _pieces(text: str, span: Span, room: int, level: int) -> Iterator[Span]:
    """``span`` itself if it fits, else its parts at the next joint, each of which fits."""
    start, stop, size = span
    if size <= room:
        yield span
    elif level == len(JOINTS):
        for begin in range(start, stop, room):
            end = min(begin + room, stop)
            yield begin, end, _size(text, begin, end)
    else:
        for part in _cut_at(JOINTS[level], text, start, stop):
            yield from _pieces(text, part, room, level + 1)


def _cut_at(joint: re.Pattern[str], text: str, start: int, stop: int) -> Iterator[Span]:
    for found in joint.finditer(text, start, stop):
        if found.end() - start >= LEAST:
            yield start, found.end(), _size(text, start, found.end())
            start = found.end()
    if start < stop:
        yield start, stop, _size(text, start, stop)


def _size(text: str, start: int, stop: int) -> int:
    """Tokens; of a stretch that can't fit whatever is in it, merely more than fit."""
    if stop - start > ROOM * LONGEST_TOKEN:
        return ROOM + 1
    return tokens(text[start:stop])


def _packed(pieces: Iterable[Span], room: int) -> Iterator[tuple[int, int]]:
    """Neighbouring pieces joined as long as they fit."""
    begin = end = size = 0
    for start, stop, cost in pieces:
        if size and size + cost > room:
            yield begin, end
            begin, size = start, 0
        end = stop
        size += cost
    if size:
        yield begin, end
