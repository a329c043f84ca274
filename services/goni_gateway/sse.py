"""Server-sent events, as OpenAI's streams use them: ``data: …`` and an empty line.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from goni_core.errors import GoniError

LONGEST = 4 << 20
"""Bytes of one event at most."""
END = re.compile(rb"\r?\n\r?\n")


async def together(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """``blocks``, each cut at the end of an event; the last may lack its own end."""
    waiting = b""
    async for block in blocks:
        ready, waiting = whole(waiting + block if waiting else block)
        if len(waiting) > LONGEST:
            raise GoniError("the engine sent an event that is too long")
        if ready:
            yield ready
    if waiting:
        yield waiting


def whole(block: bytes) -> tuple[bytes, bytes]:
    """``block`` up to the end of its last whole event, and the rest."""
    if block.endswith(b"\n\n"):
        return block, b""
    ends = [found.end() for found in END.finditer(block)]
    end = ends[-1] if ends else 0
    return block[:end], block[end:]


def events(block: bytes) -> list[bytes]:
    """The data of each event in a block of whole ones; comments are left out."""
    return [data for event in END.split(block) if (data := data_of(event))]


def data_of(event: bytes) -> bytes:
    lines = [line.removeprefix(b"data:") for line in event.splitlines() if line[:5] == b"data:"]
    return b"\n".join(line.removeprefix(b" ") for line in lines)


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def dumped(value: object) -> bytes:
    """``value`` as one event's data."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def speaks(chunk: dict[str, Any]) -> bool:
    """Whether a chunk of an answer says something: text, thoughts or a call."""
    for choice in chunk.get("choices") or []:
        delta = choice.get("delta") or {}
        names = ("content", "reasoning_content", "tool_calls")
        if choice.get("text") or any(delta.get(name) for name in names):
            return True
    return False


def parsed(data: bytes) -> dict[str, Any]:
    """An event's data as a JSON object; empty when it is something else (``[DONE]``)."""
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def delta_of(chunk: dict[str, Any]) -> str:
    """The text that a chunk adds to the answer."""
    for choice in chunk.get("choices") or []:
        text = (choice.get("delta") or {}).get("content")
        if isinstance(text, str):
            return text
    return ""
