"""The OpenAI API under ``/v1``, for apps with a person's key and for the page with a session.

Chat completions are answered from the person's documents (``answer``); the rest is the engine's
own, behind the check of who asks and of what is asked for.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields
from goni_core.hangup import unless_gone
from goni_core.http import ANSWER_TIMEOUT
from goni_gateway import answer, bodies, callers, gateway, models
from goni_gateway.answer import Question
from goni_gateway.gateway import Gateway
from goni_gateway.passing import Passed, Passing
from goni_gateway.people import Person


async def list_models(request: Request) -> Response:
    await callers.person(request)
    data = await gateway.of(request).models.everywhere()
    return JSONResponse({"object": "list", "data": data})


async def one_model(request: Request) -> Response:
    await callers.person(request)
    return JSONResponse(await gateway.of(request).models.found(request.path_params["model"]))


async def chat_completions(request: Request) -> Response:
    person = await callers.person(request)
    body = await bodies.read_json(request, limit=bodies.PICTURES_LIMIT)
    question = answer.question_from(body)
    return await unless_gone(request.receive, _chat(gateway.of(request), person, question))


async def _chat(gate: Gateway, person: Person, question: Question) -> Response:
    async with AsyncExitStack() as held:
        place = await gate.join_chat(person, question)
        held.enter_context(place)
        prepared = await answer.prepare(gate, person, question)
        await place.reached()
        meter = gate.metrics.meter(question.model, place.joined)
        if not question.stream:
            return JSONResponse(await answer.whole(gate, prepared, meter, place))
        incoming = await answer.opened(gate, prepared, place)
        held.push_async_callback(incoming.close)
        passing = Passing(meter, prepared.goni, prepared.sources)
        return Passed(incoming, passing, held.pop_all().aclose)


async def completions(request: Request) -> Response:
    return await _relay(request, "/v1/completions", models.CHAT)


async def embeddings(request: Request) -> Response:
    return await _relay(request, "/v1/embeddings", models.EMBEDDING)


async def rerank(request: Request) -> Response:
    """Jina's and Cohere's request, which OpenAI has none of."""
    return await _relay(request, "/v1/rerank", models.RERANK)


async def _relay(request: Request, route: str, kind: str) -> Response:
    person = await callers.person(request)
    body = await bodies.read_json(request)
    work = _relayed(gateway.of(request), person, route, kind, body)
    return await unless_gone(request.receive, work)


async def _relayed(
    gate: Gateway, person: Person, route: str, kind: str, body: fields.Object
) -> Response:
    model, background = fields.text(body, "model", longest=200), answer.options_of(body).background
    passed_on = {name: value for name, value in body.items() if name != "goni"}
    async with AsyncExitStack() as held:
        place = await gate.join(person, model, kind, background=background)
        held.enter_context(place)
        await place.reached()
        meter = gate.metrics.meter(model, place.joined)
        if not answer.streamed(body):
            said = await gate.engine.call("POST", route, json=passed_on, timeout=ANSWER_TIMEOUT)
            meter.whole(said)
            return JSONResponse(said)
        incoming = await gate.engine.open("POST", route, json=passed_on)
        held.push_async_callback(incoming.close)
        return Passed(incoming, Passing(meter), held.pop_all().aclose)


ROUTES = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", one_model, methods=["GET"]),
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/completions", completions, methods=["POST"]),
    Route("/v1/embeddings", embeddings, methods=["POST"]),
    Route("/v1/rerank", rerank, methods=["POST"]),
]
