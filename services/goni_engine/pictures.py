"""Pictures in a chat request: those that come inside it, in formats and sizes that llama-server may
be given.

llama-server would fetch an address, read a file, start a program for formats that it doesn't know,
and decode whatever size a picture claims. So every part of a message is looked at here: text, or a
``data:`` URL whose bytes begin as a PNG, JPEG or GIF does and claim a size that memory was set
aside for. Pure: messages in, messages out.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Sequence
from typing import Any

from goni_core import fields
from goni_core.errors import BadInput, TooLarge

LARGEST = 10 << 20
"""Bytes of one picture; phones make about 5 MB."""
MOST = 16
"""Pictures in one request."""
MOST_PIXELS = 50_000_000
"""Pixels of all pictures of one request together: decoding takes three bytes for each."""
_URL = re.compile(r"data:image/(png|jpe?g|gif);base64,", re.IGNORECASE)
_FRAMES = (0xC0, 0xC1, 0xC2)
"""JPEG markers with the picture's size, of the kinds that llama-server decodes (stb_image.h)."""


def checked(messages: Sequence[object]) -> tuple[list[object], int]:
    """``messages`` with each picture as llama-server shall see it, and how many there are.

    Raises :class:`BadInput` for a part that is neither text nor a usable picture, and
    :class:`TooLarge`.
    """
    found: list[int] = []
    made = [_message(message, found) for message in messages]
    if len(found) > MOST:
        raise BadInput(f"more than {MOST} pictures in one request", code="too_many_pictures")
    if sum(found) > MOST_PIXELS:
        raise TooLarge(
            f"the pictures have more than {MOST_PIXELS // 1_000_000} million pixels together",
            hint="send smaller pictures",
        )
    return made, len(found)


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height that the picture in ``data`` claims; :class:`BadInput` for anything but PNG,
    JPEG and GIF.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack_from("<HH", data, 6)
        elif data.startswith(b"\xff\xd8"):
            width, height = _jpeg(data)
        else:
            raise _unusable("a picture must be PNG, JPEG or GIF")
    except (struct.error, IndexError) as error:
        raise _unusable("a picture is cut off") from error
    if not width or not height:
        raise _unusable("a picture has no size")
    return width, height


def _message(message: object, found: list[int]) -> object:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(content, list):
        return message
    return {**message, "content": [_part(part, found) for part in content]}


def _part(part: object, found: list[int]) -> object:
    if not isinstance(part, dict):
        raise BadInput("a part of a message's content must be an object", code="bad_type")
    kind = part.get("type")
    if kind == "text":
        return part
    if kind != "image_url":
        raise BadInput(
            f"content of type {str(kind)[:40]!r} is not supported",
            hint="send text and image_url parts",
            code="unsupported",
        )
    if len(found) >= MOST:
        raise BadInput(f"more than {MOST} pictures in one request", code="too_many_pictures")
    url, pixels = _picture(part.get("image_url"))
    found.append(pixels)
    return {"type": "image_url", "image_url": {"url": url}}


def _picture(value: Any) -> tuple[str, int]:
    """The picture's URL and its pixels."""
    if not isinstance(value, dict):
        raise BadInput("image_url must be an object with a url", code="bad_type")
    url = fields.text(value, "url", longest=2 * LARGEST)
    head = _URL.match(url)
    if head is None:
        raise BadInput(
            "a picture must come inside the request, as a data: URL in base64; this node fetches"
            " none from elsewhere",
            hint="send data:image/png;base64,… or data:image/jpeg;base64,…",
            code="unsupported_picture",
        )
    encoded = url[head.end() :]
    if len(encoded) > LARGEST * 4 // 3 + 4:
        raise TooLarge(f"a picture is larger than {LARGEST >> 20} MiB", hint="send a smaller one")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unusable("a picture is not in base64") from error
    width, height = size_of(data)
    return f"data:image/{head[1].lower()};base64,{encoded}", width * height


def _jpeg(data: bytes) -> tuple[int, int]:
    """From the first frame's header, found as stb_image finds it; IndexError when there is none."""
    place = 2
    while True:
        while data[place] != 0xFF:
            place += 1
        while data[place] == 0xFF:
            place += 1
        if data[place] in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 4)
            return width, height
        if data[place] == 0xDA:
            raise _unusable("a picture is in a kind of JPEG that can't be read here")
        place += 1 + max(2, struct.unpack_from(">H", data, place + 1)[0])


def _unusable(words: str) -> BadInput:
    return BadInput(words, code="unsupported_picture")
