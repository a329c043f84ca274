"""PDF through poppler's pdfinfo and pdftotext, one section per page.

Both run as limited children (memory, CPU, output, time): PDFs come from anywhere. pdftotext writes
to a file, so that what a hostile one unpacks to ends at the size limit and never in our memory.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from goni_core.errors import GoniError
from goni_core.run import Completed, Limits, run
from goni_rag.plaintext import CUT
from goni_rag.sections import TEXT_LIMIT, Extract, Section, Unreadable

TIMEOUT = 120.0
"""Seconds for one run of one of poppler's programs."""
LIMITS = Limits(cpu_s=90, memory=1 << 30, file_size=4 * TEXT_LIMIT)
"""UTF-8 takes up to four bytes per character."""
PAGES = re.compile(rb"^Pages:\s+(\d+)", re.MULTILINE)
PAGE_BREAK = "\f"


def read(path: Path) -> Extract:
    """The PDF at ``path``; raises :class:`Unreadable` with the reason."""
    with path.open("rb") as source:
        if b"%PDF-" not in source.read(1024):
            raise Unreadable("the file isn't a PDF, whatever its name says")
    pages = _pages(path)
    text, cut = _text(path)
    sections = tuple(_sections(text))
    if not sections:
        raise Unreadable("the PDF has no text in it; scanned pages can't be read yet")
    return Extract(sections, pages=pages, note=CUT if cut else "")


def _pages(path: Path) -> int:
    done = _poppler(["pdfinfo", path])
    found = PAGES.search(done.stdout)
    if done.returncode != 0 or not found:
        raise _refused(done)
    return int(found[1])


def _text(path: Path) -> tuple[str, bool]:
    """The whole text with a form feed after each page, and whether it had to be cut."""
    with tempfile.TemporaryDirectory(prefix="goni-rag-") as folder:
        target = Path(folder) / "text"
        done = _poppler(["pdftotext", "-q", "-enc", "UTF-8", "-eol", "unix", path, target])
        if not target.exists():
            raise _refused(done)
        with target.open("rb") as source:
            text = source.read(LIMITS.file_size).decode("utf-8", errors="replace")
    if done.returncode != 0 and not text.strip():
        raise _refused(done)
    return text[:TEXT_LIMIT], done.returncode != 0 or len(text) > TEXT_LIMIT


def _sections(text: str) -> Iterator[Section]:
    start = 0
    for number, page in enumerate(text.split(PAGE_BREAK), start=1):
        if page.strip():
            yield Section(page.replace("\x00", " "), page=number, start=start)
        start += len(page) + 1


def _poppler(argv: list[str | Path]) -> Completed:
    try:
        return run(argv, timeout=TIMEOUT, limits=LIMITS, check=False)
    except GoniError as error:
        if error.code != "timeout":
            raise
        raise Unreadable("the PDF takes too long to read") from error


def _refused(done: Completed) -> Unreadable:
    said = done.stderr.decode("utf-8", errors="replace").lower()
    if "password" in said or "encrypt" in said:
        return Unreadable("the PDF is encrypted; save a copy without a password")
    if "not allowed" in said:
        return Unreadable("the PDF forbids taking text out of it")
    if done.returncode < 0:
        return Unreadable("the PDF needs too much memory or time to read")
    return Unreadable("the PDF is damaged")
