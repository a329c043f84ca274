"""What the service does unasked: it looks for sticks, and for its turn in the household."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from goni_core.errors import GoniError
from goni_update import sticks

log = logging.getLogger(__name__)

STICK_S, TURN_S = 5.0, 900.0
Automatic = Callable[[Path | None], Awaitable[dict[str, Any]]]
"""Checks and applies, from a folder or from the server; says in ``words`` what came of it."""


class Watch:
    """Calls ``automatic`` for each stick that is plugged in below ``mounted``, and again and again
    while it is another node's turn.
    """

    def __init__(self, automatic: Automatic, mounted: Path) -> None:
        self._automatic = automatic
        self._mounted = mounted
        self._since = 0.0
        self.waits = ""
        self.plugged: tuple[Path, ...] = ()

    def wait(self, words: str) -> None:
        """It is another node's turn, and why; nobody's when ``words`` are empty."""
        self.waits, self._since = words, time.monotonic()

    @property
    def labels(self) -> list[str]:
        """The names of the sticks with releases."""
        return [sticks.label(one, self._mounted) for one in self.plugged]

    async def run(self) -> None:
        while True:
            plugged = await asyncio.to_thread(sticks.found, self._mounted)
            fresh = [one for one in plugged if one not in self.plugged]
            self.plugged = plugged
            for folder in fresh:
                await self._try("a stick", folder)
            if self.waits and time.monotonic() - self._since > TURN_S:
                await self._try("our turn", None)
            await asyncio.sleep(STICK_S)

    async def _try(self, why: str, folder: Path | None) -> None:
        try:
            found = await self._automatic(folder)
            log.info("%s: %s", why, found["words"])
        except GoniError as error:
            log.warning("%s: %s", why, error)
