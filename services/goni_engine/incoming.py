"""Model files on their way in: each can be continued where it broke off, after a restart too.

One mechanism for the browser's upload, the download, the stick and a peer. The last byte starts the
checks (length, SHA-256 when it was given, structure), then the store places the file.

The requests follow tus (https://tus.io/protocols/resumable-upload) and the IETF's draft
(draft-ietf-httpbis-resumable-upload) where that costs nothing: create with POST, ask for the
offset, continue with PATCH and ``Upload-Offset``, 409 when the offset is another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, ParamSpec

from goni_core import contract, files
from goni_core.errors import Conflict, GoniError, NotFound, TooLarge, TooMany
from goni_engine.part import Part, Wanted, read
from goni_engine.store import Entry, Store

P = ParamSpec("P")

log = logging.getLogger(__name__)

UNFINISHED = 8
"""Files on their way at once, stalled ones included."""
KEPT_S = 7 * 24 * 3600
"""Seconds after its last byte that an unfinished file stays."""


class Arrivals:
    """The unfinished files in ``folder``, which lies beside the store's own."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._parts: dict[str, Part] = {}

    def open(self) -> None:
        """Find what an earlier process left; what has no readable note or is too old goes."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.sweep(self._folder)
        found = (read(path) for path in sorted(self._folder.glob("*.json")))
        self._parts = {part.key: part for part in found if part is not None}
        for path in self._folder.iterdir():
            if path.stem not in self._parts:
                path.unlink()
        self._expire()

    def listed(self) -> list[contract.Incoming]:
        return [_view(part) for part in self._parts.values()]

    def get(self, key: str) -> contract.Incoming:
        return _view(self._part(key))

    async def start(self, wanted: Wanted) -> tuple[contract.Incoming, bool]:
        """A place for a new file, or the one where the same file broke off; says which (true: new).

        Raises :class:`Conflict` when another model has the name or is coming under it,
        :class:`TooMany`, and :class:`DiskFull` with how much is missing.
        """
        self._expire()
        self._store.check_free(wanted.name)
        for part in self._parts.values():
            if part.wanted == wanted and (wanted.sha256 or wanted.tag):
                return _view(part), False
            if part.wanted.name == wanted.name:
                raise Conflict(
                    "a model of that name is being brought in already",
                    hint="continue or remove that one first",
                )
        if len(self._parts) >= UNFINISHED:
            raise TooMany(
                f"{UNFINISHED} models are being brought in already",
                hint="finish or remove one of them",
                retry_after=60,
            )
        promised = sum(part.wanted.bytes - part.offset for part in self._parts.values())
        files.check_room(self._folder, wanted.bytes + promised)
        part = Part(self._folder, secrets.token_hex(8), wanted, 0, time.time())
        self._parts[part.key] = part
        try:
            with _alone(part):
                await _whole(part.create)
        except BaseException:
            del self._parts[part.key]
            raise
        return _view(part), True

    async def append(
        self, key: str, offset: int, body: AsyncIterable[bytes], announced: int | None
    ) -> tuple[contract.Incoming, Entry | None]:
        """Continue at ``offset``; gives the model once the last byte is there (None for a
        projector). An empty body finishes a file whose bytes are all there.

        What arrives before a body breaks off counts. Raises :class:`Conflict` for another offset
        (``wrong_offset``) or a second sender (``busy``), :class:`TooLarge` for more bytes than were
        promised, :class:`DiskFull`, and :class:`BadInput` for a file that fails its checks, which
        is then removed.
        """
        part = self._part(key)
        with _alone(part):
            if offset != part.offset:
                raise Conflict(
                    f"{part.offset} bytes are here, not {offset}",
                    hint="ask for the offset and continue there",
                    code="wrong_offset",
                )
            left = part.wanted.bytes - part.offset
            if announced is not None and announced > left:
                raise TooLarge(f"only {left} bytes are missing")
            await self._receive(part, body)
            if part.offset < part.wanted.bytes:
                return _view(part), None
            return _view(part), await self._finish(part)

    async def remove(self, key: str) -> None:
        """Forget an unfinished file; :class:`Conflict` while somebody sends it."""
        part = self._part(key)
        with _alone(part):
            await asyncio.to_thread(part.remove)
            self._parts.pop(key, None)

    async def discard(self, key: str) -> None:
        """As :meth:`remove`, but one that is gone already is fine."""
        if key in self._parts:
            await self.remove(key)

    async def _receive(self, part: Part, body: AsyncIterable[bytes]) -> None:
        file = await asyncio.to_thread(part.open)
        pending = bytearray()
        try:
            try:
                async for block in body:
                    pending += block
                    if part.offset + len(pending) > part.wanted.bytes:
                        raise TooLarge(
                            f"more than the {part.wanted.bytes} bytes that were promised"
                        )
                    if len(pending) >= files.BLOCK:
                        data = bytes(pending)
                        pending.clear()
                        await _whole(self._write, part, file, data)
            finally:
                if part.offset + len(pending) <= part.wanted.bytes:
                    await _whole(self._write, part, file, bytes(pending))
        finally:
            part.touched = time.time()
            await _whole(part.note)
            file.close()

    def _write(self, part: Part, file: BinaryIO, data: bytes) -> None:
        files.check_room(self._folder, len(data))
        part.append(file, data)

    async def _finish(self, part: Part) -> Entry | None:
        try:
            await asyncio.to_thread(part.check)
            entry = await self._store.adopt(part.data, part.wanted.name)
        except GoniError:
            await asyncio.to_thread(part.remove)
            self._parts.pop(part.key, None)
            raise
        await asyncio.to_thread(part.remove)
        self._parts.pop(part.key, None)
        return entry

    def _part(self, key: str) -> Part:
        part = self._parts.get(key)
        if part is None:
            raise NotFound("that upload is not known any more", hint="start it again")
        return part

    def _expire(self) -> None:
        for part in list(self._parts.values()):
            if not part.busy and time.time() - part.touched > KEPT_S:
                log.info("gave up an unfinished model after %d MiB", part.offset >> 20)
                part.remove()
                del self._parts[part.key]


async def _whole(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """``work`` in a thread (a slow disk must not stop the answers that stream meanwhile), to its
    end even when the request is cancelled: nothing else touches the file meanwhile.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        with contextlib.suppress(GoniError):
            await running
        raise


@contextlib.contextmanager
def _alone(part: Part) -> Iterator[None]:
    if part.busy:
        raise Conflict(
            "this file is being sent already", hint="wait a moment, then continue", code="busy"
        )
    part.busy = True
    try:
        yield
    finally:
        part.busy = False


def _view(part: Part) -> contract.Incoming:
    return contract.Incoming(
        id=part.key,
        name=part.wanted.name,
        bytes=part.wanted.bytes,
        offset=part.offset,
        sha256=part.wanted.sha256,
        touched=int(part.touched),
        busy=part.busy,
    )
