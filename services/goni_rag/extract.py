"""From a file to its text, by the kind of file that its name says it is.

Each kind has a module of its own. What none of them can read is :class:`Unreadable` with the reason
in a person's words, never an error of the service.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from goni_rag import markdown, pdf, plaintext
from goni_rag.sections import Extract, Unreadable

READERS: dict[str, Callable[[Path], Extract]] = {
    "": plaintext.read,
    ".log": plaintext.read,
    ".markdown": markdown.read,
    ".md": markdown.read,
    ".pdf": pdf.read,
    ".text": plaintext.read,
    ".txt": plaintext.read,
}


def read(path: Path) -> Extract:
    """The text of the file at ``path``; blocking. Raises :class:`Unreadable`."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Unreadable(f"Goni can't read {path.suffix.lower()[:20]} files yet")
    found = reader(path)
    if not any(section.text.strip() for section in found.sections):
        raise Unreadable("the file has no text in it")
    return found
