"""What an extractor makes of a file: sections of text that know where they stand.

A section ends where a page or a heading does, so that a passage cut from it has one page and one
heading. ``start`` counts characters of the whole extracted text.
"""

from __future__ import annotations

from dataclasses import dataclass

from goni_core.errors import GoniError

TEXT_LIMIT = 8 << 20
"""Characters of one document that are searchable: some 3,000 dense pages."""


class Unreadable(GoniError):
    """The file is kept, but no text can be had from it; the message says why, for the person."""

    status = 422
    code = "unreadable"


@dataclass(frozen=True)
class Section:
    """A stretch of text; ``page`` counts from 1 and is 0 where the format has no pages;
    ``heading`` is the path of headings above it.
    """

    text: str
    page: int = 0
    heading: str = ""
    start: int = 0


@dataclass(frozen=True)
class Extract:
    """A document's text. ``note`` tells the person what was lost or guessed on the way."""

    sections: tuple[Section, ...]
    pages: int = 0
    note: str = ""
