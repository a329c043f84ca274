"""What every handler needs, in one place: the database, the engine, the documents, the throttle.

Handlers get it with :func:`of`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request

from goni_core import files, paths
from goni_core.http import Service
from goni_gateway.database import Database
from goni_gateway.downloads import Downloads
from goni_gateway.metrics import Metrics
from goni_gateway.people import node_of
from goni_gateway.throttle import Throttle
from goni_gateway.turns import Lines

SETUP_FILE = "setup-complete"
"""There when the node belongs to somebody; units look at it (ConditionPathExists=)."""


@dataclass(frozen=True)
class Gateway:
    """This node's front door. ``complete`` is set once the node is set up."""

    database: Database
    engine: Service
    rag: Service
    state: Path
    metrics: Metrics
    lines: Lines
    downloads: Downloads
    throttle: Throttle = field(default_factory=Throttle)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def mark_complete(self) -> None:
        """Say so to the units (a file) and to the web listener (the event)."""
        files.write(self.state / SETUP_FILE, b"", mode=0o644)
        self.complete.set()


def open_gateway() -> Gateway:
    """The gateway of this node, as its database says it is."""
    state = paths.state_dir("gateway")
    database = Database(state / "gateway.db")
    metrics = Metrics()
    engine = Service("the engine", paths.engine_socket())
    gateway = Gateway(
        database,
        engine,
        Service("the document search", paths.rag_socket()),
        state,
        metrics,
        Lines(metrics.waited),
        Downloads(database, engine),
    )
    files.sweep(state)
    if database.run(node_of).complete:
        gateway.mark_complete()
    else:
        # The database decides; the file may be left over from one that was reset.
        (state / SETUP_FILE).unlink(missing_ok=True)
    return gateway


async def close_gateway(gateway: Gateway) -> None:
    await gateway.downloads.stop()
    await gateway.engine.close()
    await gateway.rag.close()
    gateway.database.close()


def of(request: Request) -> Gateway:
    gateway = request.app.state.gateway
    assert isinstance(gateway, Gateway)
    return gateway


Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def carried(gateway: Gateway) -> Lifespan:
    """A lifespan that puts ``gateway`` where :func:`of` finds it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.gateway = gateway
        yield

    return lifespan
