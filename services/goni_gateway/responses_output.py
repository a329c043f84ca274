"""A chat answer as OpenAI's Responses API gives it: a response object with its output items, and
the events by which it grows.

https://platform.openai.com/docs/api-reference/responses-streaming. One :class:`Outcome` serves
both: an answer in one piece is a stream of one piece whose events nobody reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from goni_core import fields
from goni_gateway import tokens

Event = dict[str, Any]
ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}
"""What a response repeats of its request, and what it says where that says nothing."""


class _Item:
    """An output item that grows by pieces of text: ``kind`` is message, reasoning or
    function_call.
    """

    def __init__(self, kind: str, place: int, call: fields.Object) -> None:
        self.kind = kind
        self.place = place
        self.pieces: list[str] = []
        self.id = f"{_PREFIX[kind]}_{tokens.new_id()}"
        self._call_id = str(call.get("id") or f"call_{tokens.new_id()}")
        self._name = str((call.get("function") or {}).get("name") or "")

    def opened(self) -> Iterator[Event]:
        yield {"type": "response.output_item.added", "item": self.object("in_progress", empty=True)}
        if self.kind == "message":
            yield {"type": "response.content_part.added", "part": _text_part("")}

    def grown(self, text: str) -> Event:
        self.pieces.append(text)
        return {"type": f"response.{_TEXT[self.kind]}.delta", "delta": text, **self._logprobs()}

    def closed(self) -> Iterator[Event]:
        text = "".join(self.pieces)
        done = {"type": f"response.{_TEXT[self.kind]}.done"}
        if self.kind == "function_call":
            yield {**done, "arguments": text, "name": self._name}
        else:
            yield {**done, "text": text, **self._logprobs()}
        if self.kind == "message":
            yield {"type": "response.content_part.done", "part": _text_part(text)}
        yield {"type": "response.output_item.done", "item": self.object("completed")}

    def object(self, status: str, *, empty: bool = False) -> dict[str, Any]:
        text = "".join(self.pieces)
        item: dict[str, Any] = {"id": self.id, "type": self.kind, "status": status}
        if self.kind == "function_call":
            return {**item, "call_id": self._call_id, "name": self._name, "arguments": text}
        if self.kind == "reasoning":
            part = {"type": "reasoning_text", "text": text}
            return {**item, "summary": [], "content": [] if empty else [part]}
        return {**item, "role": "assistant", "content": [] if empty else [_text_part(text)]}

    def _logprobs(self) -> dict[str, Any]:
        return {"logprobs": []} if self.kind == "message" else {}


_PREFIX = {"message": "msg", "reasoning": "rs", "function_call": "fc"}
_TEXT = {
    "message": "output_text",
    "reasoning": "reasoning_text",
    "function_call": "function_call_arguments",
}


class Outcome:
    """The response to ``asked``, fed with the pieces of a chat answer; ``goni`` is what Goni adds.

    Events come with their sequence numbers, and each belongs on the wire as it is.
    """

    def __init__(self, asked: fields.Object, goni: dict[str, Any]) -> None:
        self._sequence = 0
        self._items: list[_Item] = []
        self._open: tuple[str, int] | None = None
        self._reason = ""
        self.response: dict[str, Any] = {
            "id": f"resp_{tokens.new_id()}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "model": asked.get("model"),
            "output": [],
            "error": None,
            "incomplete_details": None,
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
            "usage": None,
            **{
                name: asked[name] if asked.get(name) is not None else usual
                for name, usual in ECHOED.items()
            },
            "goni": goni,
        }

    @property
    def text(self) -> str:
        """What the messages say until now."""
        said = (item.pieces for item in self._items if item.kind == "message")
        return "".join(piece for pieces in said for piece in pieces)

    def begin(self) -> list[Event]:
        kinds = ("response.created", "response.in_progress")
        return [self._numbered({"type": kind, "response": dict(self.response)}) for kind in kinds]

    def take(self, chunk: dict[str, Any]) -> list[Event]:
        """The events of one chunk of a streamed answer, or of a whole one."""
        if usage := chunk.get("usage"):
            self.response["usage"] = _usage(usage)
        events: list[Event] = []
        for choice in chunk.get("choices") or []:
            self._reason = choice.get("finish_reason") or self._reason
            delta = choice.get("delta") or choice.get("message") or {}
            if text := delta.get("reasoning_content"):
                events += self._grow("reasoning", 0, {}, text)
            if text := delta.get("content"):
                events += self._grow("message", 0, {}, text)
            for place, call in enumerate(delta.get("tool_calls") or []):
                arguments = (call.get("function") or {}).get("arguments") or ""
                number = call.get("index", place)
                events += self._grow("function_call", number, call, arguments)
        return events

    def finish(self) -> list[Event]:
        events = self._close()
        cut = self._reason == "length"
        if cut:
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        self.response["status"] = "incomplete" if cut else "completed"
        return [*events, self._last()]

    def fail(self, code: str, message: str) -> list[Event]:
        """The end of an answer that broke off."""
        events = self._close()
        self.response |= {"status": "failed", "error": {"code": code, "message": message}}
        return [*events, self._last()]

    def _last(self) -> Event:
        self.response["output"] = [item.object("completed") for item in self._items]
        kind = f"response.{self.response['status']}"
        return self._numbered({"type": kind, "response": dict(self.response)})

    def _grow(self, kind: str, number: int, call: fields.Object, text: str) -> list[Event]:
        events: list[Event] = []
        if self._open != (kind, number):
            events += self._close()
            self._items.append(_Item(kind, len(self._items), call))
            self._open = (kind, number)
            events += self._of_item(self._items[-1].opened())
        if text:
            events += self._of_item(iter([self._items[-1].grown(text)]))
        return events

    def _close(self) -> list[Event]:
        if self._open is None:
            return []
        self._open = None
        return self._of_item(self._items[-1].closed())

    def _of_item(self, events: Iterator[Event]) -> list[Event]:
        item = self._items[-1]
        placed = []
        for event in events:
            event["output_index"] = item.place
            if not event["type"].startswith("response.output_item"):
                event["item_id"] = item.id
                if item.kind != "function_call":
                    event["content_index"] = 0
            placed.append(self._numbered(event))
        return placed

    def _numbered(self, event: Event) -> Event:
        event["sequence_number"] = self._sequence
        self._sequence += 1
        return event


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's counts of the one API in the words of the other."""
    read, written = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
