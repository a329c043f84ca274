"""What every handler needs, in one place: the database, the engine, the documents, the throttle.

Handlers get it with :func:`of`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request

from goni_core import files, paths
from goni_core.http import Service
from goni_gateway import models, routing, warmth
from goni_gateway.database import Database
from goni_gateway.dav_locks import Locks
from goni_gateway.downloads import Downloads
from goni_gateway.household import Household
from goni_gateway.metrics import Metrics
from goni_gateway.models import Models
from goni_gateway.nodes import OWN, Nodes
from goni_gateway.people import Person, node_of
from goni_gateway.planner import Job
from goni_gateway.prompt import Message
from goni_gateway.routing import Router
from goni_gateway.throttle import Throttle
from goni_gateway.turns import Lines, Place, Station, Turns
from goni_gateway.warmth import Warmth

SETUP_FILE = "setup-complete"
"""There when the node belongs to somebody; units look at it (ConditionPathExists=)."""


class Question(Protocol):
    """What of a chat request says where it may go (``answer.Question``)."""

    @property
    def model(self) -> str: ...
    @property
    def messages(self) -> list[Message]: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def documents(self) -> bool: ...
    @property
    def background(self) -> bool: ...


@dataclass(frozen=True)
class Gateway:
    """This node's front door. ``complete`` is set once the node is set up."""

    database: Database
    engine: Service
    rag: Service
    mesh: Service
    nodes: Nodes
    router: Router
    models: Models
    state: Path
    metrics: Metrics
    lines: Lines
    downloads: Downloads
    household: Household
    updates: Service
    throttle: Throttle = field(default_factory=Throttle)
    locks: Locks = field(default_factory=Locks)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    async def join(self, person: Person, model: str, kind: str, *, background: bool) -> Place:
        """A place in the line for the model of that name on this node; errors as in
        :meth:`Models.for_task`, and :class:`~goni_core.errors.TooMany` when the line is full.
        """
        await self.models.for_task(model, kind)
        turns = await self._turns(model)
        return turns.join(person.id, background=background, job=Job(nodes=frozenset((OWN,))))

    async def join_chat(self, person: Person, question: Question) -> Place:
        """A place in the line for a chat, which any node may answer; errors as in :meth:`join`."""
        await self.models.for_task(question.model, models.CHAT)
        turns = await self._turns(question.model)
        conversation = warmth.told(person.id, question.messages)
        job = routing.job_of(question.messages, question.max_tokens, passages=question.documents)
        nodes = [one.node.id for one in turns.stations]
        warm = self.router.warmth.tokens(question.model, conversation, nodes)
        place = turns.join(person.id, background=question.background, job=replace(job, warm=warm))
        # The last question will be read together with its passages, and without them next time.
        kept = question.messages[:-1] if question.documents else question.messages
        place.told = warmth.told(person.id, kept)
        return place

    async def _turns(self, model: str) -> Turns:
        await self.nodes.look()
        stations = self.nodes.stations(model)
        if not stations:
            entry = await self.models.found(model)
            stations = [Station(slots=entry.get("goni", {}).get("slots", 0))]
        return self.lines.at(model, stations)

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
    nodes = Nodes(engine, mesh)
    gateway = Gateway(
        database,
        engine,
        rag,
        mesh,
        nodes,
        Router(nodes, Warmth()),
        Models(engine, nodes),
        state,
        metrics,
        Lines(metrics.waited),
        Downloads(database, engine),
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
