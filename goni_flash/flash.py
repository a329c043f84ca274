"""Write an image to a disk and compare: several blocks are in flight, in order of the image.

The disk's first block, with the partition table, goes blank first and is written last. A disk whose
writing was interrupted has no table: no machine tries to boot half of an image, and nobody takes
it for whole.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from goni_core.errors import GoniError
from goni_core.progress import Monitor
from goni_flash.source import BLOCK, ZEROS, Buffer, Buffers, Piece, Source, same
from goni_flash.target import Target

DEPTH = 4
"""Blocks on their way to the disk at once."""
TAIL = 1 << 20
"""Bytes at the disk's end that are cleared: another system's backup partition table is there."""


class Crew:
    """Threads that work on pieces; the first failure reaches whoever hands out the next piece."""

    def __init__(self) -> None:
        self.buffers = Buffers(2 * DEPTH)
        self._threads = ThreadPoolExecutor(DEPTH)
        self._under_way: deque[Future[None]] = deque()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                for future in self._under_way:
                    future.result()
        finally:  # Ctrl-C comes while we wait, too: what hasn't begun then never begins
            self._threads.shutdown(wait=True, cancel_futures=True)

    def start(self, work: Callable[[Piece], None], piece: Piece) -> None:
        """Have a thread do ``work`` on ``piece`` and give its buffer back."""
        while self._under_way and self._under_way[0].done():
            self._under_way.popleft().result()
        self._under_way.append(self._threads.submit(self._do, work, piece))

    def _do(self, work: Callable[[Piece], None], piece: Piece) -> None:
        try:
            work(piece)
        finally:
            if piece.buffer:
                self.buffers.give(piece.buffer)


def write(image: Source, target: Target, monitor: Monitor) -> None:
    """Write ``image`` to the start of ``target``; returns when it is on the disk.

    Raises what :class:`Target` raises; the disk then has no partition table.
    """
    monitor.phase("write", image.size)

    def put(piece: Piece) -> None:
        if piece.buffer:
            target.write(piece.buffer, piece.at, piece.length)
        else:
            target.zero(piece.at, piece.length)
        monitor.advance(piece.length)

    first, length = _blank(target, image), 0
    with Crew() as crew:
        for piece in image.pieces(crew.buffers):
            if piece.at == 0 and piece.buffer:
                first[: piece.length] = piece.buffer[: piece.length]
                length = piece.length
                crew.buffers.give(piece.buffer)
            else:
                crew.start(put, piece)
    target.flush()
    target.write(first, 0, length)
    monitor.advance(length)
    target.flush()


def _blank(target: Target, image: Source) -> Buffer:
    """Clear the disk's two partition tables; a buffer for the image's own."""
    target.write(ZEROS, 0, min(BLOCK, image.size))
    end = target.size - target.size % 4096
    if end - TAIL >= image.size:
        target.write(ZEROS, end - TAIL, TAIL)
    target.flush()
    return mmap.mmap(-1, BLOCK)


def compare(image: Source, target: Target, monitor: Monitor) -> None:
    """Read back what was written, and raise :class:`GoniError` at the first difference."""
    monitor.phase("verify", image.size)
    scratch = Buffers(DEPTH)

    def check(piece: Piece) -> None:
        buffer = scratch.take()
        try:
            for start in range(0, piece.length, BLOCK):
                count = min(BLOCK, piece.length - start)
                target.read(buffer, piece.at + start, count)
                if not same(buffer, piece.buffer or ZEROS, count):
                    raise _lies(target, piece.at + start)
        finally:
            scratch.give(buffer)
        monitor.advance(piece.length)

    with Crew() as crew:
        for piece in image.pieces(crew.buffers):
            crew.start(check, piece)


def _lies(target: Target, at: int) -> GoniError:
    return GoniError(
        f"{target.path} gives back other bytes than were written, {at / 1e9:.2f} GB from its start",
        hint="the disk is broken or smaller than it claims to be: don't use it",
        code="disk_lies",
    )
