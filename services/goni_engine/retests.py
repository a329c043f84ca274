"""Tests models again that have no verdict for what computes now (``verdicts``): after an update, a
new driver, a changed file. In the background, while nobody uses the engine, and only where there is
room without sending a loaded model away; whoever comes meanwhile ends the test of another model.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from goni_core.contract import Check
from goni_core.errors import GoniError
from goni_engine.card import CHAT
from goni_engine.store import Entry
from goni_engine.supervisor import Supervisor
from goni_engine.verdicts import Verdicts

log = logging.getLogger(__name__)

QUIET_S = "GONI_QUIET_S"
"""Environment variable, for tests: seconds without use before a test in the background."""
USUAL_QUIET_S = 10.0
GATE_S = 240.0
"""Seconds from the start in which the engine is not well while a model that was tested before has
no verdict yet: so the boot after an update waits for it, but not forever."""


class Retests:
    """What is to be tested of ``entries()``."""

    def __init__(
        self, supervisor: Supervisor, verdicts: Verdicts, entries: Callable[[], list[Entry]]
    ) -> None:
        self._supervisor = supervisor
        self._verdicts = verdicts
        self._entries = entries
        self._tried: set[tuple[str, str]] = set()
        self._began = time.monotonic()
        self._quiet_s = float(os.environ.get(QUIET_S, USUAL_QUIET_S))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self._quiet_s))
            entry = next((one for one in self._pending() if self._may(one)), None)
            if entry is not None and self._supervisor.quiet_s() >= self._quiet_s:
                await self._test(entry)

    def check(self) -> Check:
        """What was found and what is still to be tested, in words."""
        chats = self._chats()
        held = [(entry, *self._verdicts.of(entry)) for entry in chats]
        done = [(entry, verdict) for entry, verdict, holds in held if verdict and holds]
        failed = [(entry, verdict) for entry, verdict in done if not verdict.ok]
        stale = [entry for entry, verdict, holds in held if verdict and not holds]
        left = [entry.id for entry in self._pending()]
        words = [f"{entry.id}: {verdict.detail}" for entry, verdict in failed]
        words += [f"{len(done) - len(failed)} tested on this version"]
        words += [f"still to be tested: {', '.join(left)}"] if left else []
        waits = any(self._may(entry) for entry in stale) and self._young()
        new = [verdict for _, verdict in failed if not verdict.known]
        return Check("chat numbers", not new and not waits, "; ".join(words))

    def _young(self) -> bool:
        return time.monotonic() - self._began < GATE_S

    def _chats(self) -> list[Entry]:
        return [entry for entry in self._entries() if entry.card and entry.kind == CHAT]

    def _pending(self) -> list[Entry]:
        """Those that were tested on another ground first."""
        found = [(entry, *self._verdicts.of(entry)) for entry in self._chats()]
        pending = [(entry, verdict) for entry, verdict, holds in found if not holds]
        return [entry for entry, _ in sorted(pending, key=lambda one: one[1] is None)]

    def _may(self, entry: Entry) -> bool:
        """Not what can't be used, or what was tried before and didn't come as far as a verdict."""
        tried = (entry.id, self._verdicts.ground(entry)) in self._tried
        return not tried and self._supervisor.state(entry.id)[0] != "unusable"

    async def _test(self, entry: Entry) -> None:
        try:
            if not await self._supervisor.examine(entry):
                return
        except GoniError as error:
            if error.code == "gave_way":
                return
            log.warning("%s could not be tested in the background: %s", entry.id, error.message)
        self._tried.add((entry.id, self._verdicts.ground(entry)))
