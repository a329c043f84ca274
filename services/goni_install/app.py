"""``install.sock``: the routes of what only root can do to the disks (``goni_core.contract``)."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from goni_core import contract, fields, web
from goni_core.contract import Check, Health
from goni_core.errors import BadInput, Conflict, GoniError
from goni_core.run import run
from goni_install import candidates, install, root, running
from goni_install.board import Board
from goni_install.candidates import Candidate
from goni_install.running import Running

log = logging.getLogger(__name__)

EVENT_S = 0.2
"""Seconds between two looks at the progress."""
BODY = 4096
"""Bytes of a request."""


class Disks:
    """The service: one installation at a time, in a thread."""

    def __init__(self, places: root.Places, top: Path = Path("/")) -> None:
        self._places = places
        self._top = top
        self._board = Board()
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def application(self) -> Starlette:
        return web.application(
            [
                Route("/health", self.health),
                Route("/disks", self.disks),
                Route("/install", self.progress, methods=["GET"]),
                Route("/install", self.begin, methods=["POST"]),
                Route("/events", self.events),
                Route("/recovery", self.recovery, methods=["GET"]),
                Route("/recovery", self.new_recovery, methods=["POST"]),
                Route("/reset", self.reset, methods=["POST"]),
            ]
        )

    async def health(self, _request: Request) -> Response:
        error = self._board.now.error
        check = Check("last installation", not error, error or "nothing went wrong")
        return JSONResponse(contract.plain(Health("install", True, check.detail, (check,))))

    async def disks(self, _request: Request) -> Response:
        found = await asyncio.to_thread(lambda: install.disks(running.look(self._top)))
        return JSONResponse({"disks": [one.plain() for one in found]})

    async def progress(self, _request: Request) -> Response:
        return JSONResponse(asdict(self._board.now))

    async def begin(self, request: Request) -> Response:
        asked = await _body(request, ("disk", "confirm", "keep_data", "restart"))
        name = fields.text(asked, "disk", longest=100)
        typed = fields.text(asked, "confirm", default="", longest=100)
        keep, restart = fields.flag(asked, "keep_data"), fields.flag(asked, "restart")
        if self._task and not self._task.done():
            raise Conflict("an installation is running already", code="busy")
        now, candidate = await asyncio.to_thread(self._find, name)
        if typed != candidate.name:
            raise BadInput(
                "the disk's name was not typed", hint=f"type {candidate.name}", code="not_confirmed"
            )
        self._board.begin(candidate.name)
        self._task = asyncio.create_task(self._install(now, candidate, keep=keep, restart=restart))
        return JSONResponse(asdict(self._board.now), status_code=202)

    def _find(self, name: str) -> tuple[Running, Candidate]:
        now = running.look(self._top)
        return now, candidates.find(name, install.disks(now))

    async def _install(
        self, now: Running, candidate: Candidate, *, keep: bool, restart: bool
    ) -> None:
        try:
            await asyncio.to_thread(install.install, now, candidate, self._board, keep=keep)
        except GoniError as error:
            log.warning("the installation failed: %s", error.code)
            self._board.fail(error)
            return
        except Exception:
            self._board.fail(GoniError("an internal error; the node's log has the details"))
            raise
        self._board.end()
        if restart:
            await asyncio.to_thread(run, ["systemctl", "reboot", "--no-block"], timeout=60)

    async def events(self, _request: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="application/x-ndjson")

    async def _lines(self) -> AsyncIterator[bytes]:
        shown = None
        while True:
            now = self._board.now
            if now != shown:
                shown = now
                yield json.dumps(asdict(now)).encode() + b"\n"
            if not now.running:
                return
            await asyncio.sleep(EVENT_S)

    async def recovery(self, _request: Request) -> Response:
        return JSONResponse(contract.plain(await asyncio.to_thread(root.recovery, self._places)))

    async def new_recovery(self, request: Request) -> Response:
        await _body(request, ())
        async with self._turn:
            key = await asyncio.to_thread(root.enroll_recovery, self._places)
        return JSONResponse({"key": key}, status_code=201)

    async def reset(self, request: Request) -> Response:
        asked = await _body(request, ("confirm", "again"))
        for field in ("confirm", "again"):
            if fields.text(asked, field, default="", longest=100) != socket.gethostname():
                raise BadInput(
                    "the node's name was not typed twice; nothing was erased", code="not_confirmed"
                )
        async with self._turn:
            await asyncio.to_thread(root.erase, self._places)
        await asyncio.to_thread(run, ["systemctl", "reboot", "--no-block"], timeout=60)
        return JSONResponse({"words": "everything is erased; the node starts anew"})


async def _body(request: Request, known: tuple[str, ...]) -> fields.Object:
    asked = fields.parse(await web.read_body(request, limit=BODY) or b"{}")
    fields.only(asked, known)
    return asked
