"""What this node's engine can take on, and what the peers say of theirs.

The engine is asked every :data:`POLL_S`. Who holds another account of this node than it has now is
told; nothing is told twice, so that idle nodes say nothing but the beat, in which each names the
digest of what it holds of the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from goni_core import contract, paths
from goni_core.contract import Load
from goni_core.errors import GoniError
from goni_core.http import Service, Timeout

POLL_S = 1.0
LIMIT = 32 << 10
"""Bytes of one account."""


@dataclass(frozen=True)
class Told:
    """What a node said, and when it came (monotonic seconds)."""

    load: Load
    at: float


class Loads:
    """This node's account of itself, ``mine``, and those of its peers, ``told``. ``changed`` are
    called when ``mine`` is another than before.
    """

    def __init__(self) -> None:
        self.engine = Service("the engine", paths.engine_socket())
        self.mine = Load()
        self.told: dict[str, Told] = {}
        self.changed: list[Callable[[], None]] = []

    async def keep(self) -> None:
        """Ask the engine until cancelled."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(POLL_S)
        finally:
            await self.engine.close()

    def take(self, node: str, load: Load) -> None:
        self.told[node] = Told(load, time.monotonic())

    def forget(self, node: str) -> None:
        self.told.pop(node, None)

    def held(self, node: str) -> str:
        """The digest of what is known of ``node``; empty when that is nothing."""
        return digest(self.told[node].load) if node in self.told else ""

    async def _look(self) -> None:
        now = Load()
        with contextlib.suppress(GoniError):
            now = contract.load_from(await self.engine.call("GET", "/load", timeout=Timeout(10.0)))
        if now != self.mine:
            self.mine = now
            for listener in self.changed:
                listener()


def digest(load: Load) -> str:
    """By which two nodes know that they mean the same."""
    said = json.dumps(contract.plain(load), sort_keys=True).encode()
    return hashlib.sha256(said).hexdigest()[:12]
