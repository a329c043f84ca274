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
    """The text in ``document``, a picture; with pages where it has several."""
    frames = []
    for found in confined.read(Kind.PICTURE, document, clock):
        if not isinstance(found, Attachment):
            yield found
        elif clock.left():
            frames.append(ocr.words(found.content))
        else:
            yield Note("time")
            break
    if any(frames):
        yield Note("scanned")
    for number, text in enumerate(frames, start=1):
        if text:
            yield Text(f"{text}\n", number if len(frames) > 1 else 0, "")
