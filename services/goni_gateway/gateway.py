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
from goni_gateway.dav_locks import Locks
from goni_gateway.downloads import Downloads
from goni_gateway.household import Household
from goni_gateway.metrics import Metrics
from goni_gateway.models import Models
from goni_gateway.people import Person, node_of
from goni_gateway.throttle import Throttle
from goni_gateway.turns import Lines, Place

SETUP_FILE = "setup-complete"
"""There when the node belongs to somebody; units look at it (ConditionPathExists=)."""


@dataclass(frozen=True)
class Gateway:
    """This node's front door. ``complete`` is set once the node is set up."""

    database: Database
    engine: Service
    rag: Service
    models: Models
    state: Path
    metrics: Metrics
    lines: Lines
    downloads: Downloads
    mesh: Service
    household: Household
    updates: Service
    throttle: Throttle = field(default_factory=Throttle)
    locks: Locks = field(default_factory=Locks)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    async def join(self, person: Person, model: str, kind: str, *, background: bool) -> Place:
        """A place in the line for the model of that name; errors as in :meth:`Models.for_task`, and
        :class:`~goni_core.errors.TooMany` when the line is full.
        """
        entry = await self.models.for_task(model, kind)
        turns = self.lines.at(model, entry.get("goni", {}).get("slots", 0))
        return turns.join(person.id, background=background)

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
    rag = Service("the document search", paths.rag_socket())
    mesh = Service("the household's service", paths.mesh_socket())
    gateway = Gateway(
        database,
        engine,
        rag,
        Models(engine),
        state,
        metrics,
        Lines(metrics.waited),
        Downloads(database, engine),
        mesh,
        Household(database, mesh, rag),
        Service("the update service", paths.update_socket()),
    )
    files.sweep(state)
    if database.run(node_of).complete:
        gateway.mark_complete()
    else:
        # The database decides; the file may be left over from one that was reset.
        (state / SETUP_FILE).unlink(missing_ok=True)
    return gateway


async def close_gateway(gateway: Gateway) -> None:
    await gateway.household.stop()
    await gateway.downloads.stop()
    await gateway.engine.close()
    await gateway.rag.close()
    await gateway.mesh.close()
    await gateway.updates.close()
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
