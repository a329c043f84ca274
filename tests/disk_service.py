"""install.sock as the contract has it, for tests of the setup page: a real service on a real socket
that makes keys of the real form, but enrols them on no disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import web
from goni_core.contract import Recovery, plain
from goni_core.errors import Conflict
from goni_core.serve import Listener, bind_unix, serving

LETTERS = "cbdefghijklnrtuv"


@dataclass
class Disk:
    """What it was asked for: the keys that it made. ``encrypted`` says whether there can be any."""

    keys: list[str] = field(default_factory=list)
    encrypted: bool = True

    async def state(self, request: Request) -> Response:
        return JSONResponse(plain(Recovery(self.encrypted, bool(self.keys))))

    async def enrol(self, request: Request) -> Response:
        if not self.encrypted:
            raise Conflict("the disk is not encrypted", code="no_own_key")
        letters = "".join(secrets.choice(LETTERS) for _ in range(64))
        self.keys.append("-".join(letters[start : start + 8] for start in range(0, 64, 8)))
        return JSONResponse({"key": self.keys[-1]}, status_code=201)


@contextlib.contextmanager
def running(path: Path) -> Iterator[Disk]:
    """The service at the socket ``path``, in a thread of its own."""
    disk, ready, loop = Disk(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    routes = [
        Route("/recovery", disk.state, methods=["GET"]),
        Route("/recovery", disk.enrol, methods=["POST"]),
    ]

    async def serve() -> None:
        async with serving(Listener(web.application(routes), bind_unix(path))):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield disk
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
