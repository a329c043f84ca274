"""Is the service well: the index file, the engine's embeddings, and a search through the socket.

Answers whatever is down. The whole index is read through at most once an hour, because that takes
long; the other checks run every time.
"""

from __future__ import annotations

import asyncio
import time

from goni_core.contract import Check, Health
from goni_core.errors import GoniError
from goni_core.http import Service
from goni_rag import store
from goni_rag.library import Library

NOBODY = "goni-health"
"""Owner id that the test search runs as; it has no documents."""
INTEGRITY_AGE = 3600.0
CHECK_SECONDS = 30.0
FRESH = 10.0
"""Seconds that one look serves every caller: each look embeds, and a slow machine mustn't be kept
busy by those who ask how it is.
"""


class Examiner:
    """Looks at ``library``, and at its own service's socket as a caller sees it."""

    def __init__(self, library: Library, itself: Service) -> None:
        self._library = library
        self._itself = itself
        self._looked = -INTEGRITY_AGE
        self._damage = ""
        self._looking = asyncio.Lock()
        self._current: asyncio.Task[Health] | None = None
        self._begun = 0.0

    async def health(self) -> Health:
        """All checks; callers share the look that is under way, or a fresh one."""
        now = time.monotonic()
        if self._current is None or (self._current.done() and now - self._begun > FRESH):
            self._current, self._begun = asyncio.create_task(self._examine()), now
        return await asyncio.shield(self._current)

    async def _examine(self) -> Health:
        checks = await asyncio.gather(self._database(), self._engine(), self._search())
        totals = await self._library.connections.read(store.totals)
        return Health("rag", all(check.ok for check in checks), words(totals, checks), checks)

    async def _database(self) -> Check:
        async with self._looking:
            if time.monotonic() - self._looked >= INTEGRITY_AGE:
                self._damage = await self._library.connections.read(store.damage)
                self._looked = time.monotonic()
        return Check("database", not self._damage, self._damage or "the index is whole")

    async def _engine(self) -> Check:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._library.embedder.embed(["Are you there?"])
        except TimeoutError:
            return Check("engine", False, "the engine takes too long to embed a sentence")
        except GoniError as error:
            return Check("engine", False, error.message)
        return Check("engine", True, "the engine embeds")

    async def _search(self) -> Check:
        asked = {"owner": NOBODY, "query": "is search working", "k": 1}
        try:
            answer = await self._itself.call("POST", "/search", json=asked)
        except GoniError as error:
            return Check("search", False, error.message)
        found = isinstance(answer.get("sources"), list)
        return Check("search", found, "search answers" if found else "search answers nonsense")


def words(totals: store.Totals, checks: tuple[Check, ...]) -> str:
    """The state in a sentence for the person."""
    failed = [check.detail for check in checks if not check.ok]
    if failed:
        return "; ".join(failed)
    said = f"{totals.documents} documents, {totals.chunks} passages"
    if totals.unreadable:
        said += f"; {totals.unreadable} documents can't be read"
    if totals.waiting:
        said += f"; {totals.waiting} documents wait to be read"
    if totals.pending:
        said += f"; {totals.pending} passages wait to be embedded"
    return said
