"""PDF: the text that it carries through poppler's pdftotext, one record per page; pages without any
are taken for scans, drawn by pdftoppm and recognized (``ocr``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from goni_rag import ocr, sandbox
from goni_rag.clock import Clock
from goni_rag.confine import Limits
from goni_rag.confined import why
from goni_rag.records import Note, Refused, Text
from goni_rag.sandbox import End, Outcome
from goni_rag.sections import TEXT_LIMIT

LIMITS = Limits(cpu_s=90, memory=1 << 30, output=4 * TEXT_LIMIT)
"""UTF-8 takes up to four bytes per character."""
DRAWING = Limits(cpu_s=40, memory=1 << 30, output=64 << 20)
RESOLUTION = 300
"""Dots per inch: what tesseract was trained for."""
LARGEST = 5000
"""Pixels of a drawn page's longer side: an A3 page at that resolution."""
PAGE_BREAK = "\f"
LEAST = 12
"""Letters under which a page is taken for a scan: a stamp or a page number is no text."""
MOST_SCANS = 400


def read(document: IO[bytes], clock: Clock) -> Iterator[Text | Note | Refused]:
    """The text of ``document``, a PDF, page by page."""
    argv = ["pdftotext", "-enc", "UTF-8", "-eol", "unix", sandbox.DOCUMENT, "-"]
    with sandbox.tool(argv, document, LIMITS) as outcome:
        text = (
            outcome.output.read(LIMITS.output)
            .decode("utf-8", errors="replace")
            .replace("\x00", " ")
        )
        # A page ends with its break, so the last piece is none, unless the program was stopped.
        pages = text.split(PAGE_BREAK)
        if not pages[-1]:
            pages.pop()
        if outcome.end is not End.WELL and not pages:
            yield Refused(_reason(outcome))
            return
    scans = 0
    for number, page in enumerate(pages, start=1):
        if sum(map(str.isalnum, page)) >= LEAST:
            yield Text(f"{page}\n", number, "")
        elif scans < MOST_SCANS and clock.left():
            scans += 1
            yield from _scan(document, number, page)
        else:
            yield Note("pages")
    if outcome.end is not End.WELL:
        yield Note(why(outcome)[1])


def _scan(document: IO[bytes], number: int, printed: str) -> Iterator[Text | Note]:
    size = ["-gray", "-r", str(RESOLUTION), "-f", str(number), "-l", str(number)]
    with sandbox.tool(["pdftoppm", *size, sandbox.DOCUMENT], document, DRAWING) as drawn:
        found = ocr.words(drawn.output) if drawn.end is End.WELL else ""
    if len(found) > len(printed.strip()):
        yield Note("scanned")
        yield Text(f"{found}\n", number, "")
    elif printed.strip():
        yield Text(printed, number, "")


def _reason(outcome: Outcome) -> str:
    said = outcome.said.lower()
    if "password" in said or "encrypt" in said:
        return "encrypted"
    if "not allowed" in said:
        return "forbidden"
    return why(outcome)[0]
