"""The nodes that could answer a chat: this one, by its engine, and the household's, by goni-mesh.

What they say of themselves is remembered for :data:`REMEMBERED_S`. A model elsewhere counts as the
same one only if its file is (``tag``). A node that failed is doubted for :data:`DOUBTED_S`, and
asked only when there is no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

from goni_core import contract, fields
from goni_core.contract import Load, ModelLoad, NodeLoad
from goni_core.errors import GoniError
from goni_core.http import Incoming, Service, Timeout
from goni_gateway.planner import LOAD_LEAST_S, LOAD_MIB_S, Node
from goni_gateway.turns import Station

OWN = ""
"""This node, where nodes are named by their ids."""
REMEMBERED_S, ALONE_S = 1.0, 5.0
"""Seconds for which an account is good enough, and the same where goni-mesh doesn't answer: nobody
shall wait for it again and again.
"""
DOUBTED_S = 30.0
LOOK = Timeout(3.0, connect=1.0)
MOST_NODES = 256


class At:
    """The engine of one node, reached by ``service`` below ``prefix``."""

    def __init__(self, service: Service, prefix: str) -> None:
        self._service = service
        self._prefix = prefix

    async def call(
        self, method: str, path: str, *, json: object, timeout: Timeout
    ) -> dict[str, Any]:
        """As :meth:`Service.call`."""
        return await self._service.call(method, self._prefix + path, json=json, timeout=timeout)

    async def open(self, method: str, path: str, *, json: object) -> Incoming:
        """As :meth:`Service.open`."""
        return await self._service.open(method, self._prefix + path, json=json)


class Nodes:
    """What this node's engine and its peers say that they can take on."""

    def __init__(self, engine: Service, mesh: Service) -> None:
        self._engine = engine
        self._mesh = mesh
        self._own: Load | None = None
        self._peers: list[NodeLoad] = []
        self._until = 0.0
        self._doubted: dict[str, float] = {}
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Ask again what was asked too long ago. Who doesn't answer has nothing to say."""
        async with self._looking:
            if time.monotonic() < self._until:
                return
            self._own, peers = await asyncio.gather(self._ask_own(), self._ask_peers())
            self._peers = peers or []
            alone = peers is None
            self._until = time.monotonic() + (ALONE_S if alone else REMEMBERED_S)

    def doubt(self, node: str) -> None:
        """It failed just now."""
        self._doubted[node] = time.monotonic() + DOUBTED_S

    def at(self, node: str) -> At:
        """That node's engine."""
        return At(self._mesh, f"/nodes/{node}") if node else At(self._engine, "")

    def counter(self, model: str) -> At:
        """Where the prompt's tokens are counted: here if the model is loaded or nowhere loaded."""
        stations = self.stations(model)
        loaded = [one.node.id for one in stations if not one.node.load_s]
        return self.at((loaded or [one.node.id for one in stations] or [OWN])[0])

    def elsewhere(self, known: Iterable[str]) -> list[dict[str, Any]]:
        """OpenAI's objects of the models that only peers have, ``known`` being this node's own."""
        held, found = set(known), []
        for peer in self._peers:
            for model in peer.load.models:
                if model.id not in held:
                    held.add(model.id)
                    found.append(_listed(model, peer))
        return found

    def stations(self, model: str) -> list[Station]:
        """Where the model called ``model`` could answer, this node first if it has it; doubted
        nodes are left out unless nothing else is left.
        """
        own = _of(self._own.models if self._own else (), model)
        found = [_station(OWN, own, self._own.free)] if own and self._own else []
        tag = own.tag if own else ""
        for peer in self._peers:
            there = _of(peer.load.models, model)
            if there is None or (tag and there.tag != tag):
                continue
            tag = there.tag
            found.append(_station(peer.id, there, peer.load.free))
        now = time.monotonic()
        trusted = [one for one in found if self._doubted.get(one.node.id, 0.0) < now]
        return trusted or found

    async def _ask_own(self) -> Load | None:
        with contextlib.suppress(GoniError):
            return contract.load_from(await self._engine.call("GET", "/load", timeout=LOOK))
        return None

    async def _ask_peers(self) -> list[NodeLoad] | None:
        with contextlib.suppress(GoniError):
            said = await self._mesh.call("GET", "/nodes", timeout=LOOK)
            nodes = fields.objects(said, "nodes", most=MOST_NODES)
            return [contract.node_load_from(one) for one in nodes]
        return None


def _of(models: Sequence[ModelLoad], name: str) -> ModelLoad | None:
    return next((one for one in models if one.id == name), None)


def _station(node: str, model: ModelLoad, free_mib: int) -> Station:
    loaded = model.state == "loaded"
    size = model.bytes >> 20
    load_s = 0.0 if loaded else LOAD_LEAST_S + size / LOAD_MIB_S
    if not loaded and size > free_mib:
        load_s *= 2  # others have to go first
    told = Node(
        node,
        prefill=model.prefill,
        decode=model.decode,
        waiting=model.waiting,
        load_s=load_s,
        context=model.context,
    )
    return Station(told, model.slots, model.busy)


def _listed(model: ModelLoad, peer: NodeLoad) -> dict[str, Any]:
    about = {
        "id": model.id,
        "kind": "chat",
        "bytes": model.bytes,
        "context": model.context,
        "architecture": "",
        "state": model.state,
        "reason": "",
        "slots": model.slots,
        "pictures": model.pictures,
        "node": peer.name,
    }
    return {"id": model.id, "object": "model", "created": 0, "owned_by": "goni", "goni": about}
