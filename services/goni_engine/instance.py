"""One loaded model: its server, its slots, and how it is used."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from goni_core.contract import ModelStats
from goni_engine.llama_server import LlamaServer
from goni_engine.plan import Plan
from goni_engine.seats import Seats
from goni_engine.store import Entry
from goni_engine.watchdog import Watchdog

_TAKEN = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)


@dataclass
class Instance:
    """A loaded model. ``users`` are the requests that hold it; ``leaving``: it makes room for
    another one as soon as they are done; ``answered``: it has given a whole answer. ``leases`` is
    how often it was used.
    """

    entry: Entry
    plan: Plan
    server: LlamaServer
    seats: Seats
    watchdog: Watchdog
    gpu: bool
    users: int = 0
    leases: int = 0
    leaving: bool = False
    answered: bool = False
    since: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._watching = asyncio.create_task(self.watchdog.run())

    @property
    def pending(self) -> int:
        """Bytes that the plan promises to the model and that the kernel still counts as available:
        the file mapped into memory, above all.
        """
        return 0 if self.gpu else max(0, self.plan.needed - self._taken)

    @property
    def size(self) -> int:
        """Bytes that become free when it is unloaded."""
        return max(self.plan.needed, self._taken)

    def outdated(self, entry: Entry) -> bool:
        """Whether nobody uses it and something came beside the model since it was loaded."""
        return not self.users and self.entry.beside != entry.beside

    @property
    def _taken(self) -> int:
        try:
            status = Path(f"/proc/{self.server.pid}/status").read_text()
        except OSError:
            return 0
        return sum(int(number) << 10 for number in _TAKEN.findall(status))

    def stats(self) -> ModelStats:
        figures = self.watchdog.figures
        return ModelStats(
            id=self.entry.id,
            memory=self.size,
            slots=self.plan.slots,
            busy=self.seats.busy,
            waiting=self.seats.waiting,
            prompt_tokens=figures.prompt_tokens,
            generated_tokens=figures.generated_tokens,
            tokens_per_second=round(self.watchdog.speed, 1),
        )

    async def stop(self) -> None:
        """Unload it, whatever runs on it."""
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        self.seats.close()
        await self.server.stop()
