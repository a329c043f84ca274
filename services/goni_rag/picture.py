"""Pictures of text: decoded and evened out by a reader of ours, then recognized (``ocr``), so that
tesseract never sees a file that somebody else made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from goni_rag import confined, ocr
from goni_rag.clock import Clock
from goni_rag.confined import Attachment
from goni_rag.kinds import Kind
from goni_rag.records import Note, Refused, Text


def read(document: IO[bytes], clock: Clock) -> Iterator[Text | Note | Refused]:
    """The text in ``document``, a picture; pages where it has several."""
    number = 0
    for found in confined.read(Kind.PICTURE, document, clock):
        if not isinstance(found, Attachment):
            yield found
            continue
        number += 1
        if not clock.left():
            yield Note("time")
            return
        if text := ocr.words(found.content):
            yield Note("scanned")
            yield Text(f"{text}\n", number, "")
