"""What an extractor makes of a file: sections of text that know where they stand.

A section ends where a page or a heading does, so that a passage cut from it has one page and one
heading. ``start`` counts characters of the whole extracted text, which is all sections' texts one
after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from goni_core.contract import DOCUMENT_LIMIT
from goni_core.errors import GoniError

TEXT_LIMIT = 8 << 20
"""Characters of one document that are searchable: some 3,000 dense pages."""

REASONS = {
    "archive": "the file unpacks to far more than a document holds",
    "binary": "the file isn't text",
    "changed": "the file changed while it was being read",
    "container": "the file is an archive; unpack it, and Goni reads what is in it",
    "damaged": "the file is damaged",
    "empty": "the file has no text in it",
    "encoding": "the file isn't text in an encoding that Goni knows",
    "encrypted": "the file is encrypted; save a copy without a password",
    "forbidden": "the PDF forbids taking text out of it",
    "gone": "the file can't be opened",
    "large": f"the file is larger than {DOCUMENT_LIMIT >> 20} MiB",
    "memory": "the file needs too much memory to read",
    "nested": "the file holds files within files, deeper than Goni looks",
    "not pdf": "the file isn't a PDF, whatever its name says",
    "old office": "the file is in an old Office format; save it as .docx, .xlsx or .pptx",
    "picture": "the picture has more pixels than Goni reads",
    "time": "the file takes too long to read",
    "unknown": "Goni can't read files of this kind",
}
"""Why there is no text, in a person's words."""

NOTES = {
    "columns": "not all of its columns are searchable: there are too many",
    "cut": f"only the first {TEXT_LIMIT >> 20} million characters are searchable",
    "damaged": "parts of it are damaged and were left out",
    "guessed": "not UTF-8: read as Windows-1252, special characters may be wrong",
    "long": "very long messages are searchable in their beginning only",
    "memory": "only its beginning is searchable: the rest needs too much memory to read",
    "nested": "what is nested too deeply in it was left out",
    "output": "only its beginning is searchable: it unpacks to more than that",
    "pages": "not all of its scanned pages are searchable: there are too many",
    "parts": "not all of the files in it are searchable",
    "rows": "not all of its rows are searchable: there are too many",
    "scanned": "scanned: its words were recognized from pictures and may be wrong",
    "time": "only its beginning is searchable: the rest takes too long to read",
}
"""What was lost or guessed on the way to the text, in a person's words."""


class Unreadable(GoniError):
    """The file is kept, but no text can be had from it; the message says why, for the person, and
    ``code`` is a key of :data:`REASONS`. ``changed`` is worth another try once the file rests.
    """

    status = 422

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason], code=reason)


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
