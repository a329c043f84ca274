"""The routes of ``engine.sock``, as ``goni_core.contract`` lists them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import contract, fields, web
from goni_core.errors import NotFound
from goni_engine import arrivals_api, beside, chat, embeddings, request, rerank
from goni_engine.card import CHAT, EMBEDDING, RERANK
from goni_engine.engine import Engine
from goni_engine.store import SUFFIX, Entry

DOES = {CHAT: "chats", EMBEDDING: "makes embeddings", RERANK: "ranks passages"}
INSTEAD = {CHAT: "chat", RERANK: "rank passages"}


def build(engine: Engine) -> Starlette:
    """The application; ``engine`` is started and stopped with it."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await engine.stop()

    routes = _Routes(engine)
    return web.application(
        [
            Route("/health", routes.health),
            Route("/stats", routes.stats),
            Route("/load", routes.load),
            Route("/v1/models", routes.models),
            Route("/models/{name}", routes.put_model, methods=["PUT"]),
            Route("/models/{name}", routes.delete_model, methods=["DELETE"]),
            *arrivals_api.routes(engine),
            Route("/v1/chat/completions", routes.complete, methods=["POST"]),
            Route("/v1/completions", routes.complete, methods=["POST"]),
            Route("/v1/embeddings", routes.embed, methods=["POST"]),
            Route("/v1/rerank", routes.rerank, methods=["POST"]),
            Route("/count", routes.count, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


class _Routes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def health(self, _request: Request) -> Response:
        return JSONResponse(contract.plain(self._engine.health()))

    async def stats(self, _request: Request) -> Response:
        models = [contract.plain(stats) for stats in self._engine.supervisor.stats()]
        return JSONResponse({"models": models})

    async def load(self, _request: Request) -> Response:
        return JSONResponse(contract.plain(await self._engine.load()))

    async def models(self, _request: Request) -> Response:
        data = [self._listed(entry) for entry in self._engine.store.all()]
        return JSONResponse({"object": "list", "data": data})

    async def put_model(self, request: Request) -> Response:
        entry, new = await self._engine.store.put(
            request.path_params["name"], request.stream(), web.content_length(request.headers)
        )
        await self._engine.came(entry)
        model = contract.plain(self._engine.model(entry))
        return JSONResponse(model, status_code=201 if new else 200)

    async def delete_model(self, request: Request) -> Response:
        name = request.path_params["name"]
        if beside.suffix_of(name):
            alone = await self._engine.store.remove_beside(name)
            if alone is not None:
                await self._engine.came(alone)
            return Response(status_code=204)
        name = name.removesuffix(SUFFIX)
        entry = self._engine.store.withdraw(name)
        await self._engine.supervisor.forget(entry.id)
        await self._engine.store.delete(entry)
        return Response(status_code=204)

    async def complete(self, http: Request) -> Response:
        asked = request.parse(await web.read_json(http, limit=chat.BODY_LIMIT))
        entry = self._model(asked.model, CHAT)
        chat.check_pictures(entry, asked.pictures)
        chat.check_chances(entry, asked)
        return chat.Relay(self._engine.supervisor, entry, http.url.path, asked)

    async def rerank(self, http: Request) -> Response:
        wanted = rerank.parse(await web.read_json(http, limit=chat.BODY_LIMIT))
        entry = self._model(wanted.model, RERANK)
        return JSONResponse(await rerank.rank(self._engine.supervisor, entry, wanted))

    async def embed(self, request: Request) -> Response:
        wanted = embeddings.parse(await web.read_json(request, limit=chat.BODY_LIMIT))
        embedded = await self._engine.embedder.embed(wanted.texts)
        return JSONResponse(embeddings.answer(wanted, embedded))

    async def count(self, http: Request) -> Response:
        body = await web.read_json(http, limit=chat.BODY_LIMIT)
        entry = self._model(fields.text(body, "model", longest=300), CHAT)
        counted = await chat.count(self._engine.supervisor, entry, body)
        return JSONResponse(contract.plain(counted))

    def _model(self, model: str, kind: str) -> Entry:
        entry = self._engine.store.get(model)
        if entry.kind != kind:
            raise NotFound(
                f"that model {DOES[entry.kind]}, it does not {INSTEAD[kind]}",
                hint="GET /v1/models says what each model is for",
                code="model_not_found",
            )
        return entry

    def _listed(self, entry: Entry) -> dict[str, object]:
        return {
            "id": entry.id,
            "object": "model",
            "created": entry.created,
            "owned_by": "goni",
            "goni": contract.plain(self._engine.model(entry)),
        }
