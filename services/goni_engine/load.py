"""What the chat models of this node can take on, for whoever chooses a node for a request.

Speeds are those measured with real answers, and are remembered when a model is unloaded; right
after its first load, the self-test's is all there is. Numbers are rounded, so that a node that
does nothing says the same thing each time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from goni_core.contract import MOST_LOADS, Load, ModelLoad
from goni_engine import plan as plans
from goni_engine.card import CHAT
from goni_engine.store import Entry
from goni_engine.supervisor import Supervisor

SAMPLES, SAMPLE = 64, 4096
"""Places of a file that its tag looks at, and bytes at each."""
HEAD = 1 << 20
STEP_MIB = 256


@dataclass(frozen=True)
class _Speeds:
    prefill: float = 0.0
    decode: float = 0.0


class Loads:
    """The speeds and tags of models, as far as they are known."""

    def __init__(self) -> None:
        self._speeds: dict[str, _Speeds] = {}
        self._tags: dict[tuple[Path, int, int], str] = {}

    async def now(self, supervisor: Supervisor, entries: Sequence[Entry]) -> Load:
        """The state of ``entries`` that chat and are fit for use."""
        memory = await asyncio.to_thread(plans.measured)
        free = max(0, memory.available - plans.reserve(memory)) >> 20
        chats = [one for one in entries if one.kind == CHAT and one.card is not None]
        said = [await self._model(supervisor, entry) for entry in chats[:MOST_LOADS]]
        usable = tuple(one for one in said if one.tag and one.state != "unusable")
        return Load(free // STEP_MIB * STEP_MIB, usable)

    async def _model(self, supervisor: Supervisor, entry: Entry) -> ModelLoad:
        instance = supervisor.loaded(entry.id)
        if instance is not None:
            dog, before = instance.watchdog, self._speeds.get(entry.id, _Speeds())
            seen = _Speeds(dog.reading_speed or before.prefill, dog.speed or before.decode)
            self._speeds[entry.id] = seen
        speeds = self._speeds.get(entry.id, _Speeds())
        told = ModelLoad(
            id=entry.id,
            tag=await self._tag(entry),
            bytes=entry.bytes,
            state=supervisor.state(entry.id)[0],
            context=0,
            slots=0,
            busy=0,
            waiting=0,
            prefill=rounded(speeds.prefill),
            decode=rounded(speeds.decode),
            pictures=entry.reads_pictures,
        )
        if instance is None:
            return told
        return replace(
            told,
            context=instance.plan.context,
            slots=instance.plan.slots,
            busy=instance.seats.busy,
            waiting=instance.seats.waiting,
        )

    async def _tag(self, entry: Entry) -> str:
        place = entry.path, entry.bytes, entry.created
        if place not in self._tags:
            self._tags[place] = await asyncio.to_thread(tag_of, entry.path)
        return self._tags[place]


def tag_of(path: Path) -> str:
    """What tells one model file from another of the same name: a hash of its size, its head, where
    everything but the weights is, and of samples of the weights. Empty for a file that is gone.
    """
    made = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            made.update(size.to_bytes(8))
            for place, length in [
                (0, HEAD),
                *((size * one // SAMPLES, SAMPLE) for one in range(SAMPLES)),
            ]:
                file.seek(place)
                made.update(file.read(length))
    except OSError:
        return ""
    return made.hexdigest()[:16]


def rounded(speed: float) -> float:
    """Two significant digits."""
    return float(f"{speed:.2g}")
