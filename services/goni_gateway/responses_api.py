"""OpenAI's Responses API, ``/v1/responses``: asked and answered as a chat, in its own words."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields
from goni_core.hangup import EventStream, unless_gone
from goni_gateway import answer, bodies, callers, citations, gateway, responses_input, sse
from goni_gateway.answer import Prepared
from goni_gateway.gateway import Gateway
from goni_gateway.metrics import Meter
from goni_gateway.people import Person
from goni_gateway.responses_output import Event, Outcome
from goni_gateway.routing import Answer


async def create_response(request: Request) -> Response:
    person = await callers.person(request)
    body = await bodies.read_json(request, limit=bodies.PICTURES_LIMIT)
    return await unless_gone(request.receive, _answer(gateway.of(request), person, body))


async def _answer(gate: Gateway, person: Person, body: fields.Object) -> Response:
    question = answer.question_from(responses_input.chat_from(body))
    async with AsyncExitStack() as held:
        place = await gate.join_chat(person, question)
        held.enter_context(place)
        prepared = await answer.prepare(gate, person, question)
        await place.reached()
        outcome = Outcome(body, prepared.goni)
        meter = gate.metrics.meter(question.model, place.joined)
        if not question.stream:
            said = await answer.whole(gate, prepared, meter, place)
            outcome.take(said)
            outcome.response["goni"] = said["goni"]
            outcome.finish()
            return JSONResponse(outcome.response)
        incoming = await answer.opened(gate, prepared, place)
        held.push_async_callback(incoming.close)
        blocks = _events(incoming, outcome, meter, prepared)
        return EventStream(blocks, held.pop_all().aclose)


async def _events(
    incoming: Answer, outcome: Outcome, meter: Meter, prepared: Prepared
) -> AsyncGenerator[bytes, None]:
    yield _written(outcome.begin())
    async for data in answer.events(incoming, meter):
        chunk = sse.parsed(data)
        if error := chunk.get("error"):
            yield _written(outcome.fail("server_error", str(error.get("message", ""))))
            return
        if events := outcome.take(chunk):
            yield _written(events)
    found = citations.of(outcome.text, prepared.sources)
    outcome.response["goni"] = {**prepared.goni, "citations": found}
    yield _written(outcome.finish())


def _written(events: list[Event]) -> bytes:
    return b"".join(
        b"event: " + event["type"].encode() + b"\n" + sse.event(sse.dumped(event))
        for event in events
    )


ROUTES = [Route("/v1/responses", create_response, methods=["POST"])]
