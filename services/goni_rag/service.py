"""rag.sock: the routes of ``goni_core.contract`` put together, served until SIGTERM.

Who may ask as which owner is the gateway's business; only it and this node's root reach the socket.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, log, paths, web
from goni_core.contract import plain
from goni_core.http import Service
from goni_core.serve import Listener, serve, unix_or_inherited
from goni_rag import files_api, filters, folders, sandbox, store, upkeep
from goni_rag.embed import Embedder
from goni_rag.health import Examiner
from goni_rag.library import Library
from goni_rag.rerank import Reranker

MOST_SOURCES = 50
LONGEST_QUERY = 10_000
"""Characters of a question."""


async def run() -> None:
    """Serve until SIGTERM, with the state, sockets and engine that the environment names."""
    log.setup()
    state = paths.state_dir("rag")
    state.mkdir(parents=True, exist_ok=True)
    engine = Service("the engine", paths.engine_socket())
    itself = Service("document search", paths.rag_socket())
    library = Library(state, Embedder(engine), Reranker(engine))
    try:
        async with upkeep.running(library):
            app = application(library, Examiner(library, itself))
            listening = unix_or_inherited("rag", paths.rag_socket())
            await serve([Listener(app, listening)], alive=lambda: _alive(library))
    finally:
        sandbox.stop()
        library.close()
        await engine.close()
        await itself.close()


def application(library: Library, examiner: Examiner) -> Starlette:
    """The service as an ASGI application."""

    async def health(request: Request) -> Response:
        return JSONResponse(plain(await examiner.health()))

    async def search(request: Request) -> Response:
        asked = await web.read_json(request)
        fields.only(asked, ("owner", "query", "k", *filters.NAMES))
        answer = await library.search(
            folders.owner_id(fields.text(asked, "owner")),
            fields.text(asked, "query", longest=LONGEST_QUERY),
            fields.integer(asked, "k", least=1, most=MOST_SOURCES, default=5),
            filters.parse(asked),
        )
        return JSONResponse(plain(answer))

    return web.application(
        [
            Route("/health", health),
            Route("/search", search, methods=["POST"]),
            *files_api.routes(library),
        ]
    )


async def _alive(library: Library) -> bool:
    await library.connections.read(store.totals)
    return True
