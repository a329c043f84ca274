"""Chat and text completions: a request takes a slot of the model's llama-server, and the answer
comes back as it is made, byte for byte.

A client that hangs up ends the work at once, while it waits for a load as much as in mid-answer:
closing the connection to llama-server frees the slot. Errors are put in OpenAI's shape.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from goni_core import contract, fields, outlet, web
from goni_core.errors import BadInput, GoniError, Unavailable
from goni_core.http import Incoming, NoConnection, Timeout
from goni_core.outlet import Outlet
from goni_engine.instance import Instance
from goni_engine.refusal import refusal
from goni_engine.request import Request, reduced
from goni_engine.seats import NOT_MY_TURN, NotBegun, Turn
from goni_engine.store import Entry
from goni_engine.supervisor import Supervisor

BODY_LIMIT = 24 << 20
"""Bytes of a request: a long chat, and a few pictures in base64."""
JSON = {"Content-Type": "application/json"}
T = TypeVar("T")
TRIES = 5
WATCHED = Timeout(None)
"""No limit: it is the watchdog that notices a server which computes nothing."""
COUNT_PATH = "/v1/chat/completions/input_tokens"


class Relay(Response):
    """The answer of ``entry``'s llama-server to ``request`` at ``path``."""

    def __init__(self, supervisor: Supervisor, entry: Entry, path: str, request: Request) -> None:
        super().__init__()
        self._supervisor = supervisor
        self._entry = entry
        self._path = path
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until done or until the client is gone."""
        answering = asyncio.create_task(self._answer(scope, receive, send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
        finally:
            leaving.cancel()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def relay(instance: Instance) -> None:
            asked = self._request
            async with (
                instance.seats.take(asked.person, asked.marks) as turn,
                _begun(instance, self._path, asked, turn) as upstream,
            ):
                if upstream.content_type.startswith("text/event-stream"):
                    await _stream(upstream, instance, send, outlet.of(scope))
                else:
                    body = b"".join([block async for block in upstream.blocks()])
                    instance.answered = True
                    await Response(body, media_type="application/json")(scope, receive, send)

        await run(self._supervisor, self._entry, relay)


@contextlib.asynccontextmanager
async def _begun(
    instance: Instance, path: str, request: Request, turn: Turn
) -> AsyncIterator[Incoming]:
    """llama-server's answer. It begins a streamed one with the first bit of work on it: when not
    even that came, nothing was begun, and :class:`NotBegun` is raised.
    """
    began = False
    stream = instance.server.service.stream
    try:
        with instance.watchdog.reading(request.pictures):
            async with stream(
                "POST", path, content=request.content(turn), headers=JSON, timeout=WATCHED
            ) as upstream:
                began = True
                yield upstream
    except Unavailable as error:
        if began or not request.streams or isinstance(error, NoConnection):
            raise
        raise NotBegun(error.message, hint=error.hint, code=error.code) from error


def check_pictures(entry: Entry, number: int) -> None:
    """:class:`BadInput` when there are pictures for a model that doesn't read them."""
    if number and not entry.reads_pictures:
        raise BadInput(
            "this model does not read pictures",
            hint="choose one that does; GET /v1/models says which",
            code="no_pictures",
        )


def check_chances(entry: Entry, request: Request) -> None:
    """:class:`BadInput` when probabilities are asked of a model that guesses: llama-server gives
    wrong ones (1, always) for the tokens that were guessed.
    """
    if request.wants_chances and entry.beside.guesses:
        raise BadInput(
            "this model guesses tokens ahead and can't tell their probabilities",
            hint="ask without logprobs, or choose another model",
            code="no_logprobs",
        )


async def count(supervisor: Supervisor, entry: Entry, body: fields.Object) -> contract.Count:
    """How many tokens the messages in ``body`` are in the model's own chat format."""
    fields.objects(body, "messages", most=10_000)
    shown, number = reduced(body)
    check_pictures(entry, number)
    content = json.dumps(shown).encode()

    async def ask(instance: Instance) -> contract.Count:
        answer = await instance.server.service.call(
            "POST", COUNT_PATH, content=content, headers=JSON
        )
        tokens = fields.integer(answer, "input_tokens", least=0, most=1 << 40)
        return contract.Count(tokens, instance.plan.context)

    return await run(supervisor, entry, ask)


async def run(supervisor: Supervisor, entry: Entry, work: Callable[[Instance], Awaitable[T]]) -> T:
    """Do ``work`` on the loaded model. Again when its server has ended and nothing was begun: once
    for a request that was sent to it, :data:`TRIES` times for one that only waited for its turn. A
    request that was begun is not repeated, for it may be what ends servers.
    """
    sent = False
    for number in range(1, TRIES + 1):
        async with supervisor.lease(entry) as instance:
            try:
                return await work(instance)
            except GoniError as error:
                again = isinstance(error, NoConnection | NotBegun) and number < TRIES
                if not again or sent or not await instance.server.ended(within=5.0):
                    raise await explained(error, instance) from error
                sent = error.code != NOT_MY_TURN
    raise AssertionError("unreachable")


async def explained(error: GoniError, instance: Instance) -> GoniError:
    """llama-server's error, or what it means that it doesn't answer at all."""
    if isinstance(error, Unavailable):
        return await _stopped(instance) or error
    return refusal(error, instance.plan.context)


async def _stream(upstream: Incoming, instance: Instance, send: Send, out: Outlet) -> None:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        await upstream.pour(out.write, out)
    except Unavailable:
        # Too late for a status: OpenAI's clients raise on an event with an error in it.
        error = await _stopped(instance) or Unavailable("the engine broke off the answer")
        out.write(b"data: " + json.dumps(web.error_body(error)).encode() + b"\n\n")
    else:
        instance.answered = True
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _stopped(instance: Instance) -> Unavailable | None:
    if not await instance.server.ended(within=1.0):
        return None
    happened = "hung and was ended" if instance.watchdog.hung else "stopped"
    return Unavailable(
        f"the engine {happened} while it was answering",
        hint="send the request again; the engine is started anew",
        code="engine_stopped",
    )


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
