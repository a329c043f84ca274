"""Where bytes come from: a server, a stick, or a folder of what was fetched before.

All of them are the same plain files (``metadata/``, ``targets/``), and what a node has fetched is
such a folder again, so that another node of the household can be a source too. What comes from
here is worth nothing until ``trust`` and ``staging`` have looked at it; here it is only bounded, in
size and in time.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from goni_core.errors import BadInput, DiskFull, GoniError, NotFound, Unavailable
from goni_core.outside import Fetched, Outside

SMALL_S = 60.0
"""Seconds for one metadata file."""
WAITS_S = (1.0, 5.0, 15.0, 60.0)
"""Seconds before each new try; a byte that arrives starts them over."""
WINDOW_S, LEAST_BYTES = 60.0, 64 << 10
"""A line that brings less than so many bytes in so many seconds is given up, for now."""
BLOCK = 1 << 20
Progress = Callable[[int], None]
"""Is told how many bytes more are here."""


class Source(Protocol):
    """A repository of plain files; ``path`` is relative to it."""

    name: str

    def small(self, path: str, limit: int) -> bytes:
        """A whole file of at most ``limit`` bytes; :class:`NotFound`, :class:`BadInput` (larger),
        :class:`Unavailable`.
        """

    def into(self, path: str, target: Path, length: int, progress: Progress) -> None:
        """Append to ``target`` what it lacks of a file of ``length`` bytes."""


class Folder:
    """A folder with a repository in it: a stick, or our own mirror."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = "folder"

    def small(self, path: str, limit: int) -> bytes:
        with _opened(self.root / path) as source:
            data = source.read(limit + 1)
        if len(data) > limit:
            raise BadInput(f"{path} is larger than {limit} bytes", code="too_large")
        return data

    def into(self, path: str, target: Path, length: int, progress: Progress) -> None:
        have = _size(target)
        with _opened(self.root / path) as source, target.open("ab") as sink:
            source.seek(have)
            while have < length and (block := source.read(min(BLOCK, length - have))):
                _write(sink.fileno(), block)
                have += len(block)
                progress(len(block))
        if have < length:
            raise BadInput(f"{path} is cut: {have} of {length} bytes", code="truncated")


class Server:
    """A web server. ``rate`` limits downloads, in bytes per second; 0 is no limit."""

    def __init__(self, address: str, *, rate: int = 0, waits: tuple[float, ...] = WAITS_S) -> None:
        self.name = "server"
        self._address = address.rstrip("/") + "/"
        self._rate = rate
        self._waits = waits

    def small(self, path: str, limit: int) -> bytes:
        return asyncio.run(self._small(path, limit))

    def into(self, path: str, target: Path, length: int, progress: Progress) -> None:
        asyncio.run(self._into(path, target, length, progress))

    async def _small(self, path: str, limit: int) -> bytes:
        outside = Outside()
        try:
            async with asyncio.timeout(SMALL_S), outside.get(self._url(path), {}) as fetched:
                _check_status(fetched.status, path)
                data = bytearray()
                async for block in fetched.blocks():
                    data += block
                    if len(data) > limit:
                        raise BadInput(f"{path} is larger than {limit} bytes", code="too_large")
                return bytes(data)
        except TimeoutError as error:
            raise Unavailable("the update server is too slow", code="line_failed") from error
        finally:
            await outside.close()

    async def _into(self, path: str, target: Path, length: int, progress: Progress) -> None:
        outside = Outside()
        tries = 0
        try:
            while (before := _size(target)) < length:
                try:
                    await self._attempt(outside, path, target, length, progress)
                except Unavailable:
                    tries = 0 if _size(target) > before else tries
                    if tries == len(self._waits):
                        raise
                    await asyncio.sleep(self._waits[tries])
                    tries += 1
        finally:
            await outside.close()

    async def _attempt(
        self, outside: Outside, path: str, target: Path, length: int, progress: Progress
    ) -> None:
        start = _size(target)
        headers = {"range": f"bytes={start}-"} if start else {}
        pace = _Pace(self._rate)
        async with outside.get(self._url(path), headers) as fetched:
            _check_status(fetched.status, path)
            skip = 0 if _continues(fetched, start) else start
            with target.open("ab") as sink:
                blocks = fetched.blocks()
                while start < length:
                    # A line that stands still is Outside's to end; this is for one that drips.
                    block = await anext(blocks, b"")
                    if not block:
                        raise Unavailable("the update server ended too early", code="line_failed")
                    data = block[skip:]
                    skip -= len(block) - len(data)
                    data = data[: length - start]
                    _write(sink.fileno(), data)
                    start += len(data)
                    progress(len(data))
                    await pace.passed(len(block))

    def _url(self, path: str) -> str:
        return self._address + quote(path)


class _Pace:
    """Holds a download back to ``rate`` bytes per second, and gives up one that only drips."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._begun = self._window = time.monotonic()
        self._passed = self._in_window = 0

    async def passed(self, count: int) -> None:
        now = time.monotonic()
        self._passed += count
        self._in_window += count
        if now - self._window > WINDOW_S:
            if self._in_window < LEAST_BYTES:
                raise Unavailable("the update server is too slow", code="line_failed")
            self._window, self._in_window = now, 0
        if self._rate:
            ahead = self._passed / self._rate - (now - self._begun)
            if ahead > 0:
                await asyncio.sleep(ahead)


def _check_status(status: int, path: str) -> None:
    if status in (200, 206):
        return
    if status in (403, 404, 410):
        raise NotFound(f"the update server has no {path}")
    raise Unavailable(f"the update server answered with status {status}", code="line_failed")


def _continues(fetched: Fetched, start: int) -> bool:
    """Whether the answer begins at ``start``; false when it is the whole file."""
    if fetched.status == 200:
        return start == 0
    found = re.match(r"bytes (\d{1,18})-", fetched.header("content-range"))
    if found is None or int(found[1]) != start:
        raise Unavailable("the update server sent another part than asked", code="line_failed")
    return True


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no {path.name}") from error
    except OSError as error:
        raise GoniError(f"{path.name} can't be read: {error.strerror}") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(sink, view) :]
    except OSError as error:
        raise DiskFull("the disk is full", hint="remove models or documents") from error
