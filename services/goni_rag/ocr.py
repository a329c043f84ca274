"""Words in a picture, recognized by tesseract in English and German, one picture per process."""

from __future__ import annotations

from typing import IO

from goni_rag import sandbox
from goni_rag.confine import Limits
from goni_rag.sandbox import End

LIMITS = Limits(cpu_s=120, memory=2 << 30, output=4 << 20)
LANGUAGES = "deu+eng"
"""In this order: with English first, umlauts lose their dots."""
LEAST = 3
"""Letters and digits under which what was recognized is taken for dirt."""


LARGEST = 64 << 20
HEADER = 64
"""Bytes, at most, before the pixels of a portable graymap (and some pixels, which don't matter)."""
SAMPLE = 97
"""One pixel in so many is looked at, to see whether there is anything at all."""


def words(image: IO[bytes]) -> str:
    """The text in ``image``, a portable graymap of one of our own programs; "" when there is none
    or it takes too long.
    """
    if _blank(image):
        return ""
    argv = ["tesseract", sandbox.DOCUMENT, "stdout", "-l", LANGUAGES]
    with sandbox.tool(argv, image, LIMITS) as outcome:
        if outcome.end is not End.WELL:
            return ""
        said = outcome.output.read(LIMITS.output).decode("utf-8", errors="replace")
    text = said.replace("\f", "").replace("\x00", " ").strip()
    return text if sum(map(str.isalnum, text)) >= LEAST else ""


def _blank(image: IO[bytes]) -> bool:
    """Whether all pixels are the same, as on the backs of what was scanned."""
    image.seek(0)
    pixels = image.read(LARGEST)[HEADER:]
    return len(set(pixels[::SAMPLE])) < 2
