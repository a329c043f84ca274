"""The routes of ``engine.sock`` by which models come: catalog, files on their way in, sticks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import contract, fields, web
from goni_core.errors import BadInput
from goni_engine import catalog, part, plan
from goni_engine.engine import Engine

MEMINFO = Path("/proc/meminfo")
OFFSET = "upload-offset"


def routes(engine: Engine) -> list[Route]:
    """The routes, for ``app.build``."""
    api = _Routes(engine)
    return [
        Route("/catalog", api.catalog, methods=["GET"]),
        Route("/incoming", api.listed, methods=["GET"]),
        Route("/incoming", api.start, methods=["POST"]),
        Route("/incoming/{id}", api.one, methods=["GET"]),
        Route("/incoming/{id}", api.append, methods=["PATCH"]),
        Route("/incoming/{id}", api.remove, methods=["DELETE"]),
        Route("/sticks", api.sticks, methods=["GET"]),
        Route("/sticks/imports", api.begin_import, methods=["POST"]),
        Route("/sticks/imports/{id}", api.end_import, methods=["DELETE"]),
    ]


class _Routes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._catalog = catalog.load()

    async def catalog(self, _request: Request) -> Response:
        memory = plan.memory_from(await asyncio.to_thread(MEMINFO.read_text))
        here = {entry.id for entry in self._engine.store.all()}
        gpu = bool(self._engine.devices.gpus)
        offers = [
            contract.plain(catalog.offered(entry, memory, gpu=gpu, here=entry.id in here))
            for entry in self._catalog.entries
        ]
        return JSONResponse({"hub": self._catalog.hub, "models": offers})

    async def listed(self, _request: Request) -> Response:
        found = self._engine.arrivals.listed()
        return JSONResponse({"incoming": [contract.plain(one) for one in found]})

    async def start(self, request: Request) -> Response:
        wanted = part.wanted_from(await web.read_json(request))
        found, new = await self._engine.arrivals.start(wanted)
        return JSONResponse(contract.plain(found), status_code=201 if new else 200)

    async def one(self, request: Request) -> Response:
        found = self._engine.arrivals.get(request.path_params["id"])
        return JSONResponse(contract.plain(found))

    async def append(self, request: Request) -> Response:
        found, entry = await self._engine.arrivals.append(
            request.path_params["id"],
            _offset(request),
            request.stream(),
            web.content_length(request.headers),
        )
        if entry is not None:
            await self._engine.came(entry)
        return JSONResponse(
            {
                "offset": found.offset,
                "bytes": found.bytes,
                "complete": found.offset == found.bytes,
                "model": contract.plain(self._engine.model(entry)) if entry else None,
            }
        )

    async def remove(self, request: Request) -> Response:
        await self._engine.arrivals.remove(request.path_params["id"])
        return Response(status_code=204)

    async def sticks(self, _request: Request) -> Response:
        found = await asyncio.to_thread(self._engine.sticks.listed)
        imports = self._engine.sticks.imports()
        return JSONResponse(
            {
                "sticks": [contract.plain(stick) for stick in found],
                "imports": [contract.plain(one) for one in imports],
            }
        )

    async def begin_import(self, request: Request) -> Response:
        body = await web.read_json(request)
        fields.only(body, {"stick", "path"})
        stick = fields.text(body, "stick", longest=300)
        begun = await self._engine.sticks.begin(stick, fields.text(body, "path", longest=1000))
        return JSONResponse(contract.plain(begun), status_code=202)

    async def end_import(self, request: Request) -> Response:
        await self._engine.sticks.cancel(request.path_params["id"])
        return Response(status_code=204)


def _offset(request: Request) -> int:
    value = request.headers.get(OFFSET, "")
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise BadInput("the header Upload-Offset is missing or not a number", code="bad_offset")
    return int(value)
