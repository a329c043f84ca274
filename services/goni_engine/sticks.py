"""Model files that are taken in from sticks (``stick``), by the road that every model comes
(``incoming``).

An import goes on by itself; a stick that is pulled out ends it with the reason, and the same file
goes on where it was when it is asked for again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from goni_core import contract
from goni_core.contract import Import, Stick
from goni_core.errors import BadInput, Conflict, GoniError, NotFound, TooMany
from goni_engine import stick
from goni_engine.incoming import Arrivals
from goni_engine.part import Wanted
from goni_engine.store import Entry, model_id

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Imports that run at the same time."""
FINISHED = 20
"""Imports that are remembered once they are done or have failed."""
BLOCK = 4 << 20
MARKED = 1 << 20
"""Bytes at both ends of a file by which it is known again."""


@dataclass
class _Running:
    """An import: what is said of it, and the task that does it."""

    said: Import
    task: asyncio.Task[None] | None = None


class Sticks:
    """The sticks below ``folder``, and what is being taken in from them. ``came`` hears of each
    model that is here.
    """

    def __init__(
        self, folder: Path, arrivals: Arrivals, came: Callable[[Entry], Awaitable[None]]
    ) -> None:
        self._came = came
        self._folder = folder
        self._arrivals = arrivals
        self._imports: dict[str, _Running] = {}

    def listed(self) -> list[Stick]:
        """The sticks that are plugged in."""
        return stick.listed(self._folder)

    def imports(self) -> list[Import]:
        return [self._now(running) for running in self._imports.values()]

    async def begin(self, where: str, path: str) -> Import:
        """Take in the file ``path`` of the stick ``where``; it goes on by itself.

        Raises :class:`NotFound` when it isn't there, what ``Arrivals.start`` raises, and
        :class:`TooMany`.
        """
        if sum(running.task is not None for running in self._imports.values()) >= AT_ONCE:
            raise TooMany("too many models are being brought in", retry_after=60)
        handle = await asyncio.to_thread(stick.opened, self._folder, where, path)
        try:
            wanted = await asyncio.to_thread(_wanted, handle, Path(path).name)
            part, _ = await self._arrivals.start(wanted)
            there = self._imports.get(part.id)
            if there is not None and there.task is not None:
                raise Conflict("this file is being brought in already", code="busy")
        except BaseException:
            os.close(handle)
            raise
        said = Import(part.id, where, part.name, part.bytes, part.offset, "running")
        running = self._imports[part.id] = _Running(said)
        running.task = asyncio.create_task(self._run(running, handle))
        self._forget_old()
        return said

    async def cancel(self, key: str) -> None:
        """End an import and remove what came of it, or forget one that has ended."""
        running = self._imports.get(key)
        if running is None:
            raise NotFound("there is no such import")
        if running.task is not None:
            running.task.cancel()
            await asyncio.wait([running.task])
        self._imports.pop(key, None)
        if running.said.state != "done":
            await self._arrivals.discard(key)

    async def close(self) -> None:
        """Stop reading; what came stays, to be continued."""
        tasks = [running.task for running in self._imports.values() if running.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, running: _Running, handle: int) -> None:
        said = running.said
        try:
            blocks = _blocks(handle, said.offset, said.bytes)
            _, entry = await self._arrivals.append(said.id, said.offset, blocks, None)
            if entry is not None:
                await self._came(entry)
            state, reason = "done", ""
        except GoniError as error:
            state, reason = "failed", str(error)
            log.warning("a model could not be brought in from a stick: %s", error.code)
        finally:
            os.close(handle)
            offset = self._now(running).offset
            running.task = None
        running.said = replace(said, state=state, reason=reason, offset=offset)

    def _now(self, running: _Running) -> Import:
        if running.task is None:
            return running.said
        try:
            return replace(running.said, offset=self._arrivals.get(running.said.id).offset)
        except NotFound:
            return replace(running.said, offset=running.said.bytes)

    def _forget_old(self) -> None:
        ended = [key for key, running in self._imports.items() if running.task is None]
        for key in ended[: max(0, len(ended) - FINISHED)]:
            del self._imports[key]


def _wanted(handle: int, name: str) -> Wanted:
    """What the file is to become, with a mark by which it is known again."""
    model_id(name)
    size = os.fstat(handle).st_size
    if not size or size > contract.MODEL_LIMIT:
        raise BadInput("this file is empty, or too large for a model", code="bad_model")
    digest = hashlib.sha256(f"{name}|{size}|".encode())
    for start in (0, max(0, size - MARKED)):
        digest.update(stick.read(handle, MARKED, start))
    return Wanted(name, size, tag=digest.hexdigest())


async def _blocks(handle: int, offset: int, size: int) -> AsyncIterator[bytes]:
    """The file from ``offset`` on; ``Unavailable`` when it ends before ``size``."""
    while offset < size:
        block = await asyncio.to_thread(stick.read, handle, min(BLOCK, size - offset), offset)
        if not block:
            raise stick.pulled()
        yield block
        offset += len(block)
