"""The engine's models, as the front door sees them. A name that doesn't exist is an error, never
another model.
"""

from __future__ import annotations

from typing import Any

from goni_core.errors import BadInput, NotFound
from goni_core.http import Service
from goni_gateway.gateway import Gateway
from goni_gateway.people import Person
from goni_gateway.turns import Place

CHAT = "chat"
EMBEDDING = "embedding"
RERANK = "rerank"

Entry = dict[str, Any]


async def listed(engine: Service) -> list[Entry]:
    """OpenAI's model objects; each one's ``goni`` is the contract's Model."""
    return list((await engine.call("GET", "/v1/models")).get("data", []))


async def found(engine: Service, name: str) -> Entry:
    """The model called ``name``; :class:`NotFound` (``model_not_found``) otherwise."""
    for entry in await listed(engine):
        if entry.get("id") == name:
            return entry
    raise NotFound(
        f"there is no model {name[:100]!r} on this node",
        hint="GET /v1/models lists those that are there",
        code="model_not_found",
    )


async def for_task(engine: Service, name: str, kind: str) -> Entry:
    """The model called ``name``, which must be of ``kind``."""
    entry = await found(engine, name)
    has = entry.get("goni", {}).get("kind", kind)
    if has != kind:
        raise BadInput(f"{name[:100]!r} is a model for {has}, not for {kind}", code="wrong_model")
    return entry


async def join(gate: Gateway, person: Person, name: str, kind: str, *, background: bool) -> Place:
    """A place in the line for the model called ``name``; errors as in :func:`for_task`, and
    :class:`~goni_core.errors.TooMany` when the line is full.
    """
    entry = await for_task(gate.engine, name, kind)
    turns = gate.lines.at(name, entry.get("goni", {}).get("slots", 0))
    return turns.join(person.id, background=background)
