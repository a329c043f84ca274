"""Two rosters become one: what each side has, and then what the other lacks (anti-entropy).

A request says what its sender has (record hashes, and a version vector of edits) and may carry what
the other lacked; the answer has the same form. Each goes in parts of at most :data:`PART` bytes,
edits in the order they were made, until neither side has anything new. No decision is taken here:
whatever comes goes through :meth:`Household.take`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from goni_core import fields
from goni_core.http import Peer
from goni_mesh import entries, records
from goni_mesh.entries import Entry
from goni_mesh.household import Household
from goni_mesh.records import Record
from goni_mesh.roster import Roster

PART = 1 << 20
LIMIT = 3 << 20
"""Bytes of a whole message: its part, the largest single piece beyond it, hashes and vector."""
SECONDS = 20.0
ROUNDS = 64


@dataclass(frozen=True)
class Message:
    """What one side has, and what it gives."""

    have: frozenset[str]
    vector: Mapping[str, int]
    records: tuple[Record, ...] = ()
    entries: tuple[Entry, ...] = ()

    def plain(self) -> dict[str, Any]:
        return {
            "have": sorted(self.have),
            "vector": dict(self.vector),
            "records": [one.plain() for one in self.records],
            "entries": [one.plain() for one in self.entries],
        }

    @property
    def gives(self) -> bool:
        return bool(self.records or self.entries)


def parse(value: fields.Object, household: str) -> Message:
    """A message from its JSON object, forms checked and signatures not; :class:`BadInput`."""
    fields.only(value, {"have", "vector", "records", "entries"})
    have = records.hashes(value, "have", records.MOST)
    vector = entries.vector(value, "vector")
    given = fields.objects(value, "records", most=records.MOST)
    edits = fields.objects(value, "entries", most=entries.MOST)
    return Message(
        frozenset(have),
        vector,
        tuple(records.parse(one) for one in given),
        tuple(entries.parse(one, household) for one in edits),
    )


def message(now: Roster, other: Message | None = None) -> Message:
    """What this roster has, with a part of what ``other`` said to lack."""
    have, vector = frozenset(now.records), now.vector
    if other is None:
        return Message(have, vector)
    lacking = [one for one in now.records.values() if one.hash not in other.have]
    newer = [one for one in now.live if one.number > other.vector.get(one.author, 0)]
    edits = sorted(newer, key=lambda one: one.number)
    given, left = _part(sorted(lacking, key=lambda one: (not one.founder, one.hash)), PART)
    return Message(have, vector, tuple(given), tuple(_part(edits, left)[0]))


def digest(now: Roster) -> str:
    """Equal for equal rosters."""
    every = [*now.records, *(one.hash for one in now.live)]
    return hashlib.sha256("".join(sorted(every)).encode()).hexdigest()[:32]


def answered(household: Household, asked: Message) -> Message:
    """The answer to a peer's message, whose gifts are taken first."""
    household.take(asked.records, asked.entries)
    return message(household.joined(), asked)


async def with_peer(household: Household, peer: Peer) -> None:
    """Exchange with ``peer`` until neither has anything new for the other."""
    told, before = message(household.joined()), None
    for _ in range(ROUNDS):
        answer = await peer.ask("POST", "/roster", told.plain(), limit=LIMIT, seconds=SECONDS)
        theirs = parse(answer, household.joined().household)
        new = household.take(theirs.records, theirs.entries)
        told = message(household.joined(), theirs)
        has = theirs.have, dict(theirs.vector)
        if not new and (not told.gives or has == before):
            return
        before = has


def _part(some: Iterable[Any], budget: int) -> tuple[list[Any], int]:
    """As many as fit into ``budget`` bytes, the first in any case; and what is left of it."""
    taken: list[Any] = []
    for one in some:
        size = len(json.dumps(one.plain()))
        if taken and size > budget:
            break
        taken.append(one)
        budget -= size
    return taken, max(budget, 0)
