"""A streamed answer put together again, as OpenAI gives one that comes whole.

https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from goni_core.errors import Unavailable
from goni_gateway import sse

LONGEST = 16 << 20
"""Characters of one answer."""
TEXTS = ("content", "reasoning_content", "refusal")


async def whole(blocks: AsyncIterator[bytes]) -> dict[str, Any]:
    """The chat completion that the events in ``blocks`` make; :class:`Unavailable` when an event
    says that it failed, or there is no end.
    """
    found: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": None}
    size = 0
    async for block in blocks:
        size += len(block)
        if size > LONGEST:
            raise Unavailable("the node's answer is too long", code="too_long")
        for data in sse.events(block):
            chunk = sse.parsed(data)
            if isinstance(error := chunk.get("error"), dict):
                raise Unavailable(
                    str(error.get("message", "the node failed"))[:300],
                    code=str(error.get("code", "peer_unavailable"))[:60],
                )
            found |= {name: chunk[name] for name in _ABOUT if chunk.get(name) is not None}
            for part in chunk.get("choices") or []:
                _add(choice, message, part)
    if choice["finish_reason"] is None:
        raise Unavailable("the node broke off the answer", code="peer_unavailable")
    return {**found, "object": "chat.completion", "choices": [choice]}


_ABOUT = ("id", "created", "model", "usage", "timings", "system_fingerprint")


def _add(choice: dict[str, Any], message: dict[str, Any], part: dict[str, Any]) -> None:
    delta = part.get("delta") or {}
    for name in TEXTS:
        if isinstance(text := delta.get(name), str):
            message[name] = (message.get(name) or "") + text
    for call in delta.get("tool_calls") or []:
        _add_call(message.setdefault("tool_calls", []), call)
    if isinstance(logprobs := part.get("logprobs"), dict):
        kept = choice.setdefault("logprobs", {"content": []})
        kept["content"] += logprobs.get("content") or []
    if part.get("finish_reason"):
        choice["finish_reason"] = part["finish_reason"]


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    place = piece.get("index", 0)
    while len(calls) <= min(place, 127):
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[min(place, 127)], piece.get("function") or {}
    call["id"] = piece.get("id") or call["id"]
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""
