"""One question answered: whose documents bear on it, what fits, what the engine says.

    question -> rag.sock /search as that person -> prompt -> engine.sock /count -> the engine

Documents that can't be searched never keep an answer back; the answer then says so. The response
is OpenAI's, with the sources and whatever was cut in one more field, ``goni``. In a stream it comes
with the first chunk, and what the claims stand on with the one that ends the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from goni_core import contract, fields
from goni_core.contract import Source
from goni_core.errors import GoniError, Unavailable
from goni_core.http import Incoming, Service
from goni_gateway import budget, citations, prompt, sse
from goni_gateway.budget import Fitted
from goni_gateway.gateway import Gateway
from goni_gateway.metrics import Meter
from goni_gateway.passing import Passing
from goni_gateway.people import Person
from goni_gateway.prompt import Message
from goni_gateway.routing import Answer
from goni_gateway.turns import Place

log = logging.getLogger(__name__)

MOST_MESSAGES = 4000
MOST_SOURCES = 8
MOST_NEAREST = 3
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


@dataclass(frozen=True)
class Looked:
    """What a search came to: the passages nearest to the question, and whether they seem to
    contain its answer.
    """

    sources: list[Source]
    found: bool

    @property
    def answering(self) -> list[Source]:
        """What the model gets: nothing, when the answer isn't there. Passages that are merely near
        would tempt it to answer from them.
        """
        return self.sources if self.found else []

    @property
    def nearest(self) -> list[Source]:
        """What a person may want to look at who gets no answer."""
        return [] if self.found else self.sources[:MOST_NEAREST]


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
    looked: Looked | None = None
    notes = list(question.notes)
    if question.documents and (words := prompt.question_of(question.messages)):
        try:
            looked = await search(gateway.rag, person, words, MOST_SOURCES)
        except GoniError as error:
            log.warning("answering without documents: %s", error.code)
            notes.append(NO_DOCUMENTS)
    sources = looked.answering if looked else None
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
            "nearest": prompt.shown(looked.nearest) if looked else [],
            "context_cut": fitted.cut,
            "notes": notes,
        },
        sources=fitted.sources,
    )


async def _fitted(gateway: Gateway, question: Question, sources: list[Source] | None) -> Fitted:
    asked = question.messages, sources, question.max_tokens
    beside = {name: question.rest[name] for name in budget.TEMPLATED if name in question.rest}
    if not beside:
        context = await gateway.models.context(question.model)
        if fitted := budget.surely_fits(*asked, context):
            return fitted
    counter = gateway.nodes.counter(question.model)
    return await budget.fit(counter, question.model, *asked, beside)


async def search(
    rag: Service,
    person: Person,
    query: str,
    most: int,
    filters: Mapping[str, object] = MappingProxyType({}),
) -> Looked:
    """The ``most`` best passages that ``person`` may see, within ``filters`` as rag.sock takes
    them; :class:`Unavailable` when finding them takes more than :data:`SEARCH_S`.
    """
    asked = {"owner": person.id, "query": query, "k": most, **filters}
    try:
        async with asyncio.timeout(SEARCH_S):
            said = await rag.call("POST", "/search", json=asked)
    except TimeoutError as error:
        raise Unavailable("searching took too long", hint="try again", code="timeout") from error
    found = fields.objects(said, "sources", most=most)
    sources = [contract.source_from(source) for source in found]
    return Looked(sources, fields.flag(said, "found"))


async def whole(gateway: Gateway, prepared: Prepared, meter: Meter, place: Place) -> dict[str, Any]:
    """The engine's answer in one piece, with ``goni``."""
    said = await gateway.router.whole(prepared.body, place)
    meter.whole(said)
    found = citations.of(text_of(said), prepared.sources)
    return {**said, "goni": {**prepared.goni, "citations": found}}


async def opened(gateway: Gateway, prepared: Prepared, place: Place) -> Answer:
    """The engine's answer as it comes, from whichever node; close it."""
    return await gateway.router.opened(prepared.body, place)


async def blocks(incoming: Answer | Incoming, passing: Passing) -> AsyncGenerator[bytes, None]:
    """A streamed answer as ``passing`` lets it through, in blocks of whole events."""
    try:
        async for block in incoming.blocks():
            if ready := passing.take(block):
                yield ready
        yield passing.rest()
    except GoniError as error:
        yield passing.broken(error)


async def events(
    incoming: Answer | Incoming, meter: Meter, goni: dict[str, Any] | None = None
) -> AsyncGenerator[bytes, None]:
    """The data of each event of :func:`blocks`."""
    async for block in blocks(incoming, Passing(meter, goni)):
        for data in sse.events(block):
            yield data


def text_of(said: dict[str, Any]) -> str:
    """The text of an answer that came in one piece."""
    for choice in said.get("choices") or []:
        text = (choice.get("message") or {}).get("content")
        if isinstance(text, str):
            return text
    return ""
