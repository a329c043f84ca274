"""Makes a prompt fit the model's context, and says what had to go.

The engine counts, in the model's own tokens. Room for the answer is kept free: what was asked for,
at most half of the context. Steps of cutting are searched by halves, so that even a long chat
takes few counts; most prompts fit and take one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goni_core import fields
from goni_core.contract import Count, Source, plain
from goni_core.errors import BadInput
from goni_core.http import ANSWER_TIMEOUT
from goni_gateway import prompt
from goni_gateway.nodes import At
from goni_gateway.prompt import Message

TEMPLATED = ("tools", "tool_choice", "chat_template_kwargs")
"""Fields of a chat request that a template writes into the prompt, beside its messages."""
USUAL_ANSWER = 1024
"""Tokens kept free for an answer whose length wasn't asked for."""
TEMPLATE, EACH = 768, 16
"""Tokens that a chat template adds at most: a system prompt of its own, and around each message."""


@dataclass(frozen=True)
class ContextCut:
    """What was left out, in numbers and in words. ``max_tokens`` is set when the answer's room
    had to shrink.
    """

    sources_dropped: int
    turns_dropped: int
    max_tokens: int | None
    words: str


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits, the sources still in it, and the tokens left for the answer (None: so
    many that nobody counted).
    """

    messages: list[Message]
    sources: list[Source]
    max_tokens: int | None
    cut: dict[str, object] | None


def surely_fits(
    messages: Sequence[Message], sources: Sequence[Source] | None, asked: int | None, context: int
) -> Fitted | None:
    """The whole prompt when it fits into ``context`` tokens whatever the model's vocabulary: a
    byte is at most one token, and the template's share is guessed high. None when only counting
    can tell. It spares short questions the way to the engine and back.
    """
    built = prompt.build(messages, sources)
    if any(message.keys() - {"role", "content"} for message in built):
        return None
    if not all(isinstance(message.get("content"), str) for message in built):
        return None
    most = TEMPLATE + sum(len(message["content"].encode()) + EACH for message in built)
    answer = asked or max(USUAL_ANSWER, context // 2)
    return Fitted(built, list(sources or ()), asked, None) if most + answer <= context else None


async def fit(
    engine: At,
    model: str,
    messages: Sequence[Message],
    sources: Sequence[Source] | None,
    asked: int | None,
    beside: Mapping[str, object],
) -> Fitted:
    """The fullest prompt that leaves room for ``asked`` tokens of answer; ``beside`` are the other
    fields of the request that become part of it. :class:`BadInput` (``context_length_exceeded``)
    when not even the last question alone fits.
    """

    async def count(steps: int) -> Count:
        cut = prompt.build(*prompt.cut(messages, sources, steps))
        return await _count(engine, {**beside, "model": model, "messages": cut})

    low, high = 0, prompt.most_cuts(messages, sources)
    counted = await count(0)
    if not _fits(counted, asked) and high > 0:
        low = 1
        while low < high:
            middle = (low + high) // 2
            if _fits(await count(middle), asked):
                high = middle
            else:
                low = middle + 1
        counted = await count(low)
    return _fitted(messages, sources, low, counted, asked)


def _fits(counted: Count, asked: int | None) -> bool:
    room = min(asked or USUAL_ANSWER, counted.context // 2)
    return counted.tokens + room <= counted.context


def _fitted(
    messages: Sequence[Message],
    sources: Sequence[Source] | None,
    steps: int,
    counted: Count,
    asked: int | None,
) -> Fitted:
    left = counted.context - counted.tokens
    if left < 1:
        raise BadInput(
            f"the question alone has {counted.tokens} tokens; this model's context takes"
            f" {counted.context}",
            hint="ask a shorter question or choose a model with a longer context",
            code="context_length_exceeded",
        )
    kept, chosen = prompt.cut(messages, sources, steps)
    before, after = len(sources or ()), len(chosen or ())
    shrunk = left if asked is not None and asked > left else None
    lost = describe(before - after, max(0, steps - prompt.source_cuts(sources)), shrunk)
    return Fitted(
        prompt.build(kept, chosen),
        chosen or [],
        min(asked or left, left),
        plain(lost) if lost else None,
    )


def describe(sources: int, turns: int, shrunk: int | None) -> ContextCut | None:
    """What was left out; None when nothing was."""
    words = []
    if sources:
        words.append(f"{sources} of the passages found were left out")
    if turns:
        words.append(f"the chat's {turns} oldest questions were left out")
    if shrunk is not None:
        words.append(f"the answer was limited to {shrunk} tokens")
    if not words:
        return None
    text = ", ".join(words) + ": the model's context is full"
    return ContextCut(sources, turns, shrunk, text[0].upper() + text[1:] + ".")


async def _count(engine: At, request: Mapping[str, object]) -> Count:
    said = await engine.call("POST", "/count", json=request, timeout=ANSWER_TIMEOUT)
    most = 1 << 31
    return Count(
        tokens=fields.integer(said, "tokens", least=0, most=most),
        context=fields.integer(said, "context", least=1, most=most),
    )
