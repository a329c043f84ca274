"""Plain text: find out how it is encoded, refuse what is not text, read no more than the limit.

Byte order marks decide; without one it is UTF-8, or Windows-1252 as the last resort, which is
said in the note because it may be a wrong guess.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from goni_rag.sections import TEXT_LIMIT, Extract, Section, Unreadable

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CUT = f"only the first {TEXT_LIMIT >> 20} million characters are searchable"
GUESSED = "not UTF-8: read as Windows-1252, special characters may be wrong"


def read(path: Path) -> Extract:
    """The file at ``path`` as one section; raises :class:`Unreadable`."""
    text, note = decoded(path)
    return Extract((Section(text),), note=note)


def decoded(path: Path) -> tuple[str, str]:
    """The text of the file at ``path`` with plain newlines, and a note for the person."""
    with path.open("rb") as source:
        data = source.read(TEXT_LIMIT + 1)
    text, note = decode(data[:TEXT_LIMIT], whole=len(data) <= TEXT_LIMIT)
    if len(data) > TEXT_LIMIT:
        note = f"{note}; {CUT}" if note else CUT
    return text.replace("\r\n", "\n").replace("\r", "\n"), note


def decode(data: bytes, *, whole: bool) -> tuple[str, str]:
    """``data`` as text, with a note when the encoding is a guess.

    Unless ``whole``, a character cut in two at the end is dropped.
    """
    mark, encoding = _encoding(data)
    try:
        text, note = _strictly(data[mark:], encoding, whole), ""
    except UnicodeDecodeError:
        if mark:
            raise Unreadable("the file's text is damaged") from None
        text, note = _windows(data, whole), GUESSED
    if "\x00" in text:
        raise Unreadable("the file isn't text")
    return text, note


def _encoding(data: bytes) -> tuple[int, str]:
    for mark, name in MARKS:
        if data.startswith(mark):
            return len(mark), name
    return 0, "utf-8"


def _strictly(data: bytes, encoding: str, whole: bool) -> str:
    return codecs.getincrementaldecoder(encoding)("strict").decode(data, final=whole)


def _windows(data: bytes, whole: bool) -> str:
    try:
        return _strictly(data, "cp1252", whole)
    except UnicodeDecodeError:
        raise Unreadable("the file isn't text in an encoding that Goni knows") from None
