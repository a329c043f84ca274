"""Plain text: find out how it is encoded, refuse what is not text, read no more than the limit.

Byte order marks decide; without one it is UTF-8, or UTF-16 where every other byte is zero, or
Windows-1252 as the last resort, which is said in the note because it may be a wrong guess.
"""

from __future__ import annotations

import codecs
from typing import IO

from goni_rag.records import Writer
from goni_rag.sections import TEXT_LIMIT, Unreadable

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MOST_BYTES = 4 * TEXT_LIMIT


def read(document: IO[bytes], out: Writer) -> None:
    """All of it, under no heading."""
    out.text(decoded(document, out))


def decoded(document: IO[bytes], out: Writer) -> str:
    """The text of ``document`` with plain newlines, at most :data:`TEXT_LIMIT` characters."""
    data = document.read(MOST_BYTES + 1)
    text, guessed = decode(data[:MOST_BYTES], whole=len(data) <= MOST_BYTES)
    if guessed:
        out.note("guessed")
    if len(text) > TEXT_LIMIT or len(data) > MOST_BYTES:
        out.note("cut")
    return text[:TEXT_LIMIT].replace("\r\n", "\n").replace("\r", "\n")


def decode(data: bytes, *, whole: bool) -> tuple[str, bool]:
    """``data`` as text, and whether its encoding is a guess; raises :class:`Unreadable`.

    Unless ``whole``, a character cut in two at the end is dropped.
    """
    mark, encoding = _encoding(data)
    guessed = False
    try:
        text = _strictly(data[mark:], encoding, whole)
    except UnicodeDecodeError:
        if mark:
            raise Unreadable("damaged") from None
        text, guessed = _windows(data, whole), True
    if "\x00" in text:
        raise Unreadable("binary")
    return text, guessed


def _encoding(data: bytes) -> tuple[int, str]:
    for mark, name in MARKS:
        if data.startswith(mark):
            return len(mark), name
    start = data[:1024]
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = start[offset::2], start[1 - offset :: 2]
        if len(start) >= 8 and zeros.count(0) > len(zeros) * 0.9 and 0 not in others:
            return 0, name
    return 0, "utf-8"


def _strictly(data: bytes, encoding: str, whole: bool) -> str:
    return codecs.getincrementaldecoder(encoding)("strict").decode(data, final=whole)


def _windows(data: bytes, whole: bool) -> str:
    try:
        return _strictly(data, "cp1252", whole)
    except UnicodeDecodeError:
        raise Unreadable("encoding") from None
