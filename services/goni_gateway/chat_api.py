"""The page's chats under ``/api/chats``: kept, listed, continued.

A message's answer streams back as in the OpenAI API. It is stored before the stream says that it
is done; when the person stops it, or the engine breaks off, what there is of it is stored as
stopped.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields
from goni_core.contract import Source, plain
from goni_core.errors import NotFound
from goni_core.hangup import EventStream, unless_gone
from goni_gateway import (
    answer,
    bodies,
    callers,
    chats,
    citations,
    gateway,
    pictures,
    pictures_api,
    sse,
)
from goni_gateway.answer import Prepared, Question
from goni_gateway.chats import Entry
from goni_gateway.gateway import Gateway
from goni_gateway.metrics import Meter
from goni_gateway.people import Person
from goni_gateway.pictures import Picture
from goni_gateway.routing import Answer

LONGEST_QUESTION = 100_000


@dataclass
class Exchange:
    """A question and its answer so far."""

    gate: Gateway
    person: Person
    chat: str
    question: str
    model: str
    goni: dict[str, Any]
    sources: list[Source]
    pictures: tuple[Picture, ...] = ()
    pieces: list[str] = field(default_factory=list)
    stored: bool = False

    async def store(self, *, stopped: bool) -> None:
        """Keep it, once; a model may end without a word, but what was stopped before its first one
        was no answer. A chat deleted meanwhile stays away.
        """
        text = "".join(self.pieces)
        if self.stored or (stopped and not text):
            return
        self.stored = True
        self.goni = {**self.goni, "citations": citations.of(text, self.sources)}
        entry = Entry("assistant", text, self.model, self.goni, stopped)
        # Shielded: it is the hang-up itself that ends this task.
        with anyio.CancelScope(shield=True):
            try:
                await self.gate.database.do(
                    chats.append,
                    self.person,
                    self.chat,
                    self.question,
                    entry,
                    self.pictures,
                )
            except NotFound:
                return


async def list_chats(request: Request) -> Response:
    person = await callers.person(request)
    found = await gateway.of(request).database.do(chats.listed, person)
    return JSONResponse({"chats": [plain(chat) for chat in found]})


async def create_chat(request: Request) -> Response:
    person = await callers.person(request)
    chat = await gateway.of(request).database.do(chats.create, person)
    return JSONResponse(plain(chat), status_code=201)


async def read_chat(request: Request) -> Response:
    person = await callers.person(request)
    chat, entries = await gateway.of(request).database.do(
        chats.read, person, request.path_params["chat"]
    )
    return JSONResponse({**plain(chat), "messages": [plain(entry) for entry in entries]})


async def delete_chat(request: Request) -> Response:
    person = await callers.person(request)
    await gateway.of(request).database.do(chats.delete, person, request.path_params["chat"])
    return JSONResponse({"deleted": True})


async def send_message(request: Request) -> Response:
    person = await callers.person(request)
    body = await bodies.read_json(request, limit=bodies.PICTURES_LIMIT)
    fields.only(body, {"model", "content", "documents", "max_tokens", "pictures"})
    text = fields.text(body, "content", longest=LONGEST_QUESTION)
    gate, chat_id = gateway.of(request), request.path_params["chat"]
    model, shown = fields.text(body, "model", longest=200), pictures.given(body)
    _, entries = await gate.database.do(chats.read, person, chat_id)
    chats.check_room(entries)
    earlier, notes = await pictures_api.earlier(gate, person, chat_id, entries, model, len(shown))
    question = Question(
        model=model,
        messages=[*earlier, pictures.message(text, shown)],
        rest={},
        max_tokens=answer.max_tokens_of(body),
        stream=True,
        documents=fields.flag(body, "documents", default=True),
        notes=notes,
    )
    return await unless_gone(request.receive, _answer(gate, person, chat_id, text, question, shown))


async def _answer(
    gate: Gateway,
    person: Person,
    chat_id: str,
    text: str,
    question: Question,
    shown: tuple[Picture, ...],
) -> Response:
    async with AsyncExitStack() as held:
        place = await gate.join_chat(person, question)
        held.enter_context(place)
        prepared: Prepared = await answer.prepare(gate, person, question)
        await place.reached()
        incoming = await answer.opened(gate, prepared, place)
        exchange = Exchange(
            *(gate, person, chat_id, text, question.model),
            *(prepared.goni, prepared.sources, shown),
        )
        # The slot is free before the answer is stored.
        held.push_async_callback(exchange.store, stopped=True)
        held.enter_context(place)
        held.push_async_callback(incoming.close)
        meter = gate.metrics.meter(question.model, place.joined)
        return EventStream(_followed(incoming, exchange, meter), held.pop_all().aclose)


async def _followed(
    incoming: Answer, exchange: Exchange, meter: Meter
) -> AsyncGenerator[bytes, None]:
    """The answer's events, noted in ``exchange`` and stored before the last one."""
    async for data in answer.events(incoming, meter, exchange.goni):
        exchange.pieces.append(sse.delta_of(sse.parsed(data)))
        if data == b"[DONE]":
            await exchange.store(stopped=False)
            yield sse.event(sse.dumped({"choices": [], "goni": exchange.goni}))
        yield sse.event(data)


ROUTES = [
    Route("/api/chats", list_chats, methods=["GET"]),
    Route("/api/chats", create_chat, methods=["POST"]),
    Route("/api/chats/{chat}", read_chat, methods=["GET"]),
    Route("/api/chats/{chat}", delete_chat, methods=["DELETE"]),
    Route("/api/chats/{chat}/messages", send_message, methods=["POST"]),
]
