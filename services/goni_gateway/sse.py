"""Server-sent events, as OpenAI's streams use them: ``data: …`` and an empty line.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from goni_core.errors import GoniError

DONE = b"data: [DONE]\n\n"
LONGEST = 4 << 20
"""Bytes of one event at most."""
END = re.compile(rb"\r?\n\r?\n")


async def split(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each event in ``blocks``, as it comes; comments are left out."""
    waiting = b""
    async for block in blocks:
        *events, waiting = END.split(waiting + block)
        if len(waiting) > LONGEST:
            raise GoniError("the engine sent an event that is too long")
        for event in events:
            data = data_of(event)
            if data:
                yield data
    if data := data_of(waiting):
        yield data


def data_of(event: bytes) -> bytes:
    lines = [line.removeprefix(b"data:") for line in event.splitlines() if line[:5] == b"data:"]
    return b"\n".join(line.removeprefix(b" ") for line in lines)


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def dumped(value: object) -> bytes:
    """``value`` as one event's data."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def parsed(data: bytes) -> dict[str, Any]:
    """An event's data as a JSON object; empty when it is something else (``[DONE]``)."""
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
