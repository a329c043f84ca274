"""One question answered: whose documents bear on it, what fits, what the engine says.

    question -> rag.sock /search as that person -> prompt -> engine.sock /count -> the engine

Documents that can't be searched never keep an answer back; the answer then says so. The response
is OpenAI's, with the sources and whatever was cut in one more field, ``goni``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from goni_core import contract, fields, web
from goni_core.contract import Source
from goni_core.errors import GoniError, Unavailable
from goni_core.http import Incoming, Service
from goni_gateway import budget, citations, prompt, sse
from goni_gateway.budget import Fitted
from goni_gateway.gateway import Gateway
from goni_gateway.metrics import Meter
from goni_gateway.people import Person
from goni_gateway.prompt import Message
from goni_gateway.routing import Answer
from goni_gateway.turns import Place

log = logging.getLogger(__name__)

MOST_MESSAGES = 4000
MOST_SOURCES = 8
SEARCH_S = 15.0
"""Seconds that a search may take before the answer goes without."""
NO_DOCUMENTS = "Your documents could not be searched, so this answer does without them."


@dataclass(frozen=True)
class Question:
    """A chat request. ``rest`` is what the engine gets unread; ``documents``: look there first;
    ``background``: everybody else's goes before it; ``notes`` go back with the answer.
    """

    model: str
    messages: list[Message]
    rest: dict[str, Any]
    max_tokens: int | None
    stream: bool
    documents: bool
    background: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """What the field ``goni`` of a request may say."""

    documents: bool
    background: bool


@dataclass(frozen=True)
class Prepared:
    """A request for the engine, and what goes back beside its answer."""

    body: dict[str, Any]
    goni: dict[str, Any]
    sources: list[Source]


def question_from(body: fields.Object) -> Question:
    """The question in an OpenAI chat request; :class:`BadInput` names what is wrong with it."""
    options = options_of(body)
    messages = [dict(message) for message in fields.objects(body, "messages", most=MOST_MESSAGES)]
    for message in messages:
        fields.text(message, "role", longest=40)
    own = ("model", "messages", "stream", "max_tokens", "max_completion_tokens", "goni")
    return Question(
        model=fields.text(body, "model", longest=200),
        messages=messages,
        rest={name: value for name, value in body.items() if name not in own},
        max_tokens=max_tokens_of(body),
        stream=streamed(body),
        documents=options.documents,
        background=options.background,
    )


def options_of(body: fields.Object) -> Options:
    """Goni's own options of a request; both have defaults."""
    given = body.get("goni")
    said = fields.objects({"goni": [{} if given is None else given]}, "goni", most=1)[0]
    fields.only(said, {"documents", "background"})
    return Options(
        documents=fields.flag(said, "documents", default=True),
        background=fields.flag(said, "background"),
    )


def streamed(body: fields.Object) -> bool:
    return fields.flag({"stream": body.get("stream") or False}, "stream")


def max_tokens_of(body: fields.Object) -> int | None:
    """The longest answer that is asked for, in tokens, if any."""
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None:
            return fields.integer(body, name, least=1, most=1 << 24)
    return None


async def prepare(gateway: Gateway, person: Person, question: Question) -> Prepared:
    """Everything up to the engine's turn."""
    sources: list[Source] | None = None
    notes = list(question.notes)
    if question.documents and (words := prompt.question_of(question.messages)):
        try:
            sources = await search(gateway.rag, person, words, MOST_SOURCES)
        except GoniError as error:
            log.warning("answering without documents: %s", error.code)
            notes.append(NO_DOCUMENTS)
    fitted = await _fitted(gateway, question, sources)
    return Prepared(
        body={
            **question.rest,
            "model": question.model,
            "messages": fitted.messages,
            **({"max_tokens": fitted.max_tokens} if fitted.max_tokens else {}),
            "stream": question.stream,
            "goni": {"person": person.id},
        },
        goni={
            "sources": prompt.shown(fitted.sources),
            "abstained": sources == [],
            "context_cut": fitted.cut,
            "notes": notes,
        },
        sources=fitted.sources,
    )


async def _fitted(gateway: Gateway, question: Question, sources: list[Source] | None) -> Fitted:
    asked = question.messages, sources, question.max_tokens
    if not question.rest.get("tools"):
        context = await gateway.models.context(question.model)
        if fitted := budget.surely_fits(*asked, context):
            return fitted
    return await budget.fit(gateway.nodes.counter(question.model), question.model, *asked)


async def search(rag: Service, person: Person, query: str, most: int) -> list[Source]:
    """The ``most`` best passages that ``person`` may see; :class:`Unavailable` when finding them
    takes more than :data:`SEARCH_S`.
    """
    asked = {"owner": person.id, "query": query, "k": most}
    try:
        async with asyncio.timeout(SEARCH_S):
            said = await rag.call("POST", "/search", json=asked)
    except TimeoutError as error:
        raise Unavailable("searching took too long", hint="try again", code="timeout") from error
    found = fields.objects(said, "sources", most=most)
    return [contract.source_from(source) for source in found]


async def whole(gateway: Gateway, prepared: Prepared, meter: Meter, place: Place) -> dict[str, Any]:
    """The engine's answer in one piece, with ``goni``."""
    said = await gateway.router.whole(prepared.body, place)
    meter.whole(said)
    cited = citations.of(text_of(said), prepared.sources)
    return {**said, "goni": {**prepared.goni, "citations": cited}}


async def opened(gateway: Gateway, prepared: Prepared, place: Place) -> Answer:
    """The engine's answer as it comes, from whichever node; close it."""
    return await gateway.router.opened(prepared.body, place)


async def blocks(
    incoming: Answer | Incoming, meter: Meter, goni: dict[str, Any] | None = None
) -> AsyncGenerator[bytes, None]:
    """A streamed answer as the engine sends it, in blocks of whole events. The first event, which
    in OpenAI's streams only says who speaks, carries ``goni``; an answer that breaks off ends in an
    error event, which OpenAI's clients raise.
    """
    try:
        async for block in sse.together(incoming.blocks()):
            meter.block(block)
            if goni is None:
                yield block
            elif introduced := _introduced(block, goni):
                yield introduced
                goni = None
            else:
                yield block
    except GoniError as error:
        yield sse.event(sse.dumped(web.error_body(error)))


async def events(
    incoming: Answer | Incoming, meter: Meter, goni: dict[str, Any] | None = None
) -> AsyncGenerator[bytes, None]:
    """The data of each event of :func:`blocks`."""
    async for block in blocks(incoming, meter, goni):
        for data in sse.events(block):
            yield data


def _introduced(block: bytes, goni: dict[str, Any]) -> bytes | None:
    """``block`` with ``goni`` in its first chunk, and with one put before it when that has text
    already; None when there is no chunk in it.
    """
    passed = sse.events(block)
    for place, data in enumerate(passed):
        chunk = sse.parsed(data)
        if "choices" not in chunk:
            continue
        first = {**chunk, "goni": goni}
        if delta_of(chunk):
            first["choices"] = [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]
            passed.insert(place, sse.dumped(first))
        else:
            passed[place] = sse.dumped(first)
        return b"".join(map(sse.event, passed))
    return None


def text_of(said: dict[str, Any]) -> str:
    """The text of an answer that came in one piece."""
    for choice in said.get("choices") or []:
        text = (choice.get("message") or {}).get("content")
        if isinstance(text, str):
            return text
    return ""


def delta_of(chunk: dict[str, Any]) -> str:
    """The text that a chunk adds to the answer."""
    for choice in chunk.get("choices") or []:
        text = (choice.get("delta") or {}).get("content")
        if isinstance(text, str):
            return text
    return ""
