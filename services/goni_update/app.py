"""``update.sock``: the routes of the update service (``goni_core.contract`` lists them)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from goni_core import contract, fields, web
from goni_core.contract import Check, Health
from goni_core.errors import BadInput
from goni_update import version
from goni_update.updates import Updates

EVENT_S = 0.2
"""Seconds between two looks at the progress."""


def build(updates: Updates) -> Starlette:
    """The application for ``updates``."""
    routes = _Routes(updates)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        updates.start()
        yield
        await updates.stop()

    return web.application(
        [
            Route("/health", routes.health),
            Route("/status", routes.status),
            Route("/history", routes.history),
            Route("/events", routes.events),
            Route("/check", routes.check, methods=["POST"]),
            Route("/apply", routes.apply, methods=["POST"]),
            Route("/auto", routes.auto, methods=["POST"]),
            Route("/restart", routes.restart, methods=["POST"]),
            Route("/rollback", routes.rollback, methods=["POST"]),
            Route("/settings", routes.settings, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


class _Routes:
    def __init__(self, updates: Updates) -> None:
        self._updates = updates

    async def health(self, _request: Request) -> Response:
        trouble = self._updates.state.trouble
        check = Check("last check", not trouble, trouble or "nothing went wrong")
        # An unreachable server is no illness of the node.
        return JSONResponse(contract.plain(Health("update", True, check.detail, (check,))))

    async def status(self, _request: Request) -> Response:
        return JSONResponse(self._updates.status())

    async def history(self, _request: Request) -> Response:
        events = [vars(event) for event in self._updates.state.events]
        return JSONResponse({"events": events})

    async def events(self, _request: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="application/x-ndjson")

    async def _lines(self) -> AsyncIterator[bytes]:
        """The progress as it changes, one JSON object per line, until nothing runs."""
        shown = None
        while True:
            now = self._updates.board.now
            if now != shown:
                shown = now
                yield json.dumps(vars(now)).encode() + b"\n"
            if not now.running:
                return
            await asyncio.sleep(EVENT_S)

    async def check(self, request: Request) -> Response:
        asked = await _body(request, ("from",))
        return JSONResponse(await self._updates.check(_folder(asked)))

    async def apply(self, request: Request) -> Response:
        asked = await _body(request, ("version", "now", "from"))
        number = fields.text(asked, "version", default="", longest=30)
        self._updates.begin(
            wanted=version.parse(number) if number else None,
            now=fields.flag(asked, "now"),
            folder=_folder(asked),
        )
        return JSONResponse(vars(self._updates.board.now), status_code=202)

    async def auto(self, _request: Request) -> Response:
        return JSONResponse(await self._updates.automatic())

    async def restart(self, _request: Request) -> Response:
        return JSONResponse(self._updates.restart())

    async def rollback(self, request: Request) -> Response:
        asked = await _body(request, ("now",))
        return JSONResponse(await self._updates.rollback(now=fields.flag(asked, "now")))

    async def settings(self, request: Request) -> Response:
        self._updates.change(await web.read_json(request))
        return JSONResponse(self._updates.status())


async def _body(request: Request, known: tuple[str, ...]) -> fields.Object:
    asked = fields.parse(await web.read_body(request) or b"{}")
    fields.only(asked, known)
    return asked


def _folder(asked: fields.Object) -> Path | None:
    given = fields.text(asked, "from", default="", longest=4000)
    if not given:
        return None
    folder = Path(given)
    if not folder.is_absolute():
        raise BadInput("from must be an absolute path")
    return folder
