"""A request of OpenAI's Responses API as the chat request that asks the same.

https://platform.openai.com/docs/api-reference/responses/create. Nothing is kept here between
requests, so whoever continues a conversation sends all of it; what would need more than that, or a
tool that this node hasn't got, is refused by name instead of left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goni_core import fields
from goni_core.errors import BadInput
from goni_gateway import bodies, prompt
from goni_gateway.prompt import Message

MOST_ITEMS = 4000
LONGEST_TEXT = 8 << 20
UNKNOWN_HERE = ("previous_response_id", "conversation", "prompt", "background")
SAME = ("temperature", "top_p", "parallel_tool_calls", "seed", "goni")
"""Fields that mean the same in both APIs."""
_TEXTS = ("input_text", "output_text", "text")


def chat_from(body: fields.Object) -> dict[str, Any]:
    """The chat request; :class:`BadInput` names what can't be asked here."""
    for name in UNKNOWN_HERE:
        if body.get(name):
            raise BadInput(
                f"{name} is not supported: this node keeps no responses",
                hint="send the whole conversation as input",
                code="unsupported",
            )
    chat: dict[str, Any] = {name: body[name] for name in SAME if body.get(name) is not None}
    chat["model"] = fields.text(body, "model", longest=200)
    chat["messages"] = _messages(body)
    chat["stream"] = fields.flag({"stream": body.get("stream") or False}, "stream")
    if chat["stream"]:
        chat["stream_options"] = {"include_usage": True}
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    if tools := _optional_objects(body, "tools"):
        chat["tools"] = [_tool(tool) for tool in tools]
        chat["tool_choice"] = _choice(body.get("tool_choice"))
    if (wanted := _format(body)) is not None:
        chat["response_format"] = wanted
    if effort := _optional_object(body, "reasoning").get("effort"):
        chat["reasoning_effort"] = effort
    return chat


def _messages(body: fields.Object) -> list[Message]:
    given = body.get("input")
    if isinstance(given, str):
        text = fields.text(body, "input", longest=LONGEST_TEXT)
        messages: list[Message] = [{"role": "user", "content": text}]
    else:
        messages = []
        for item in fields.objects(body, "input", most=MOST_ITEMS):
            _add(messages, item)
    if body.get("instructions"):
        told = fields.text(body, "instructions", longest=LONGEST_TEXT)
        # One system message only: many chat templates refuse a second.
        if messages and messages[0]["role"] == "system":
            told = f"{told}\n\n{prompt.text_of(messages.pop(0))}"
        messages.insert(0, {"role": "system", "content": told})
    return messages


def _add(messages: list[Message], item: fields.Object) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = fields.text(item, "role", longest=40)
        role = "system" if role == "developer" else role
        messages.append({"role": role, "content": _content(item)})
    elif kind == "function_call":
        function = {
            "name": fields.text(item, "name"),
            "arguments": fields.text(item, "arguments", longest=LONGEST_TEXT, default=""),
        }
        call = {"id": fields.text(item, "call_id"), "type": "function", "function": function}
        # Calls made together are one message, beside the text that came with them.
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": ""})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        output = _content(item, "output")
        messages.append(
            {"role": "tool", "tool_call_id": fields.text(item, "call_id"), "content": output}
        )
    elif kind != "reasoning":  # what the model thought before is not for it to read again
        raise _unsupported("an input item of type", kind)


def _content(item: fields.Object, name: str = "content") -> str | list[dict[str, Any]]:
    if isinstance(item.get(name), str):
        return str(item[name])
    parts = [_part(part) for part in fields.objects(item, name, most=MOST_ITEMS)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: fields.Object) -> dict[str, Any]:
    kind = part.get("type")
    if kind in _TEXTS:
        return {"type": "text", "text": fields.text(part, "text", longest=LONGEST_TEXT, default="")}
    if kind == "refusal":
        return {"type": "text", "text": fields.text(part, "refusal", longest=LONGEST_TEXT)}
    if kind == "input_image":
        url = fields.text(part, "image_url", longest=bodies.PICTURES_LIMIT)
        return {"type": "image_url", "image_url": {"url": url}}
    raise _unsupported("content of type", kind)


def _tool(tool: fields.Object) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise _unsupported("a tool of type", tool.get("type"))
    fields.text(tool, "name")
    function = ("name", "description", "parameters", "strict")
    said = {name: tool[name] for name in function if tool.get(name) is not None}
    return {"type": "function", "function": said}


def _choice(choice: object) -> object:
    if isinstance(choice, Mapping):
        return {"type": "function", "function": {"name": fields.text(choice, "name")}}
    return choice or "auto"


def _format(body: fields.Object) -> dict[str, Any] | None:
    wanted = _optional_object(_optional_object(body, "text"), "format")
    kind = wanted.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    if kind == "json_schema":
        rest = {name: value for name, value in wanted.items() if name != "type"}
        return {"type": kind, "json_schema": rest}
    raise _unsupported("text.format of type", kind)


def _optional_object(value: fields.Object, name: str) -> fields.Object:
    found = value.get(name)
    return fields.objects({name: [{} if found is None else found]}, name, most=1)[0]


def _optional_objects(value: fields.Object, name: str) -> list[fields.Object]:
    return fields.objects({name: value.get(name) or []}, name, most=MOST_ITEMS)


def _unsupported(what: str, kind: object) -> BadInput:
    return BadInput(f"{what} {str(kind)[:60]!r} is not supported", code="unsupported")
