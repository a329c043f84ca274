"""Pictures, as gray bitmaps of a size that a recognizer likes: one part per page or frame.

Pillow decodes; the size is asked for before a pixel is, and the picture turned as its camera says.
"""

from __future__ import annotations

import io
from typing import IO

from PIL import Image, ImageOps, ImageSequence

from goni_rag.records import Writer
from goni_rag.sections import Unreadable

FORMATS = ("PNG", "JPEG", "TIFF", "GIF")
MOST_PIXELS = 120_000_000
"""Of one picture: an A3 page at 600 dots per inch is 70 million."""
LARGEST = 5000
"""Pixels of the longer side that are handed on."""
SMALLEST = 1000
"""Under this the letters are likely to be small, and the picture is doubled."""
MOST_FRAMES = 100


def read(document: IO[bytes], out: Writer) -> None:
    """Every page of it as a portable graymap."""
    Image.MAX_IMAGE_PIXELS = None  # ours is an error, not a warning
    with Image.open(document, formats=FORMATS) as picture:
        frames = 1 if picture.format == "GIF" else getattr(picture, "n_frames", 1)
        for number, frame in enumerate(ImageSequence.Iterator(picture)):
            if number == min(frames, MOST_FRAMES):
                break
            if frame.width * frame.height > MOST_PIXELS:
                raise Unreadable("picture")
            out.part("", _graymap(frame))
        if frames > MOST_FRAMES:
            out.note("pages")


def _graymap(frame: Image.Image) -> bytes:
    upright = ImageOps.exif_transpose(frame) or frame
    if upright.mode in ("RGBA", "LA", "PA", "P"):
        # Transparent is white, as on paper.
        clear = upright.convert("RGBA")
        upright = Image.new("RGBA", clear.size, "white")
        upright.alpha_composite(clear)
    gray = upright.convert("L")
    longer = max(gray.size)
    if longer > LARGEST:
        gray.thumbnail((LARGEST, LARGEST))
    elif longer < SMALLEST:
        gray = gray.resize((gray.width * 2, gray.height * 2), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    gray.save(target, "PPM")
    return target.getvalue()
