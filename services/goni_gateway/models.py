"""The models of this node's engine, and those that only its peers have, as the front door sees
them. A name that doesn't exist is an error, never another model.
"""

from __future__ import annotations

import time
from typing import Any

from goni_core.errors import BadInput, NotFound
from goni_core.http import Service
from goni_gateway.nodes import Nodes

CHAT = "chat"
EMBEDDING = "embedding"
RERANK = "rerank"
REMEMBERED_S = 2.0

Entry = dict[str, Any]


class Models:
    """The engine's models, remembered for :data:`REMEMBERED_S`; one that isn't remembered is asked
    for, so that a new one is there at once. What was deleted meanwhile the engine itself refuses.
    """

    def __init__(self, engine: Service, nodes: Nodes) -> None:
        self._engine = engine
        self._nodes = nodes
        self._remembered: list[Entry] = []
        self._until = 0.0

    async def listed(self) -> list[Entry]:
        """OpenAI's model objects as they are now; each one's ``goni`` is the contract's Model."""
        entries = list((await self._engine.call("GET", "/v1/models")).get("data", []))
        self._remembered, self._until = entries, time.monotonic() + REMEMBERED_S
        return entries

    async def everywhere(self) -> list[Entry]:
        """As :meth:`listed`, with the models that only other nodes have; their ``goni`` says at
        which ``node``.
        """
        await self._nodes.look()
        own = await self.listed()
        return [*own, *self._nodes.elsewhere(str(entry.get("id")) for entry in own)]

    async def found(self, name: str) -> Entry:
        """The model called ``name``; :class:`NotFound` (``model_not_found``) otherwise."""
        fresh = time.monotonic() < self._until
        entry = _named(self._remembered, name) if fresh else None
        entry = entry or _named(await self.everywhere(), name)
        if entry is None:
            raise NotFound(
                f"there is no model {name[:100]!r} on this node",
                hint="GET /v1/models lists those that are there",
                code="model_not_found",
            )
        return entry

    async def for_task(self, name: str, kind: str) -> Entry:
        """The model called ``name``, which must be of ``kind``."""
        entry = await self.found(name)
        has = entry.get("goni", {}).get("kind", kind)
        if has != kind:
            raise BadInput(
                f"{name[:100]!r} is a model for {has}, not for {kind}", code="wrong_model"
            )
        return entry

    async def context(self, name: str) -> int:
        """Tokens that a request to the model called ``name`` can use; 0 before it is loaded."""
        told = (await self.found(name)).get("goni", {})
        stations = self._nodes.stations(name)
        if stations:
            # Wherever it goes, it fits; what isn't loaded says 0.
            return min(one.node.context for one in stations)
        context = told.get("context", 0) if told.get("state") == "loaded" else 0
        return context if isinstance(context, int) else 0


def _named(entries: list[Entry], name: str) -> Entry | None:
    return next((entry for entry in entries if entry.get("id") == name), None)
