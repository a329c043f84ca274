"""The OpenAI API under ``/v1``, for apps with a person's key and for the page with a session.

Chat completions are answered from the person's documents (``answer``); the rest is the engine's
own, behind the check of who asks and of what is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields
from goni_core.http import ANSWER_TIMEOUT, Incoming
from goni_gateway import answer, bodies, callers, gateway, models, sse
from goni_gateway.answer import Question
from goni_gateway.gateway import Gateway
from goni_gateway.hangup import EventStream, unless_gone
from goni_gateway.people import Person


async def list_models(request: Request) -> Response:
    await callers.person(request)
    data = await models.listed(gateway.of(request).engine)
    return JSONResponse({"object": "list", "data": data})


async def one_model(request: Request) -> Response:
    await callers.person(request)
    return JSONResponse(
        await models.found(gateway.of(request).engine, request.path_params["model"])
    )


async def chat_completions(request: Request) -> Response:
    person = await callers.person(request)
    question = answer.question_from(await bodies.read_json(request))
    return await unless_gone(request.receive, _chat(gateway.of(request), person, question))


async def _chat(gate: Gateway, person: Person, question: Question) -> Response:
    prepared = await answer.prepare(gate, person, question)
    if not question.stream:
        return JSONResponse(await answer.whole(gate, prepared))
    incoming = await answer.opened(gate, prepared)
    return EventStream(_framed(incoming, prepared.goni), incoming.close)


async def _framed(incoming: Incoming, goni: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    async for data in answer.chunks(incoming, goni):
        yield sse.event(data)


async def completions(request: Request) -> Response:
    return await _relay(request, "/v1/completions", models.CHAT)


async def embeddings(request: Request) -> Response:
    return await _relay(request, "/v1/embeddings", models.EMBEDDING)


async def _relay(request: Request, route: str, kind: str) -> Response:
    await callers.person(request)
    body = await bodies.read_json(request)
    return await unless_gone(request.receive, _relayed(gateway.of(request), route, kind, body))


async def _relayed(gate: Gateway, route: str, kind: str, body: fields.Object) -> Response:
    await models.for_task(gate.engine, fields.text(body, "model", longest=200), kind)
    if not body.get("stream"):
        return JSONResponse(
            await gate.engine.call("POST", route, json=body, timeout=ANSWER_TIMEOUT)
        )
    incoming = await gate.engine.open("POST", route, json=body)
    return EventStream(_passed(incoming), incoming.close)


async def _passed(incoming: Incoming) -> AsyncGenerator[bytes, None]:
    async for data in answer.passed(incoming):
        yield sse.event(data)


ROUTES = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", one_model, methods=["GET"]),
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/completions", completions, methods=["POST"]),
    Route("/v1/embeddings", embeddings, methods=["POST"]),
]
