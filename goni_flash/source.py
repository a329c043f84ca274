"""The image to be written: a raw file, or one compressed by zstd, as pieces in order.

A piece is data in a page-aligned buffer (O_DIRECT wants it so, open(2)) or a hole: a stretch of
zeros that needn't be carried. Holes are those of a sparse file (lseek(2), SEEK_HOLE) and every
block that holds zeros only. An image can be read as often as wanted: to check it, to write it, to
compare.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import queue
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from goni_core.errors import BadInput, GoniError, NotFound
from goni_core.progress import Monitor
from goni_core.sparse import extent

BLOCK = 4 << 20
"""Bytes of a piece of data at most; pieces begin at multiples of it or where a hole ends."""
HOLE = 64 << 20
"""Bytes of a hole at most, so that progress moves."""
LARGEST = 64 << 30
"""Bytes of an image at most: a compressed file can claim any number of zeros."""
SECTOR = 512
Buffer = mmap.mmap
ZEROS = mmap.mmap(-1, BLOCK)
_memcmp = ctypes.CDLL(None).memcmp


@dataclass(frozen=True)
class Piece:
    """``length`` bytes at ``at``: the start of ``buffer``, or zeros where there is none."""

    at: int
    length: int
    buffer: Buffer | None


class Buffers:
    """A fixed number of page-aligned buffers of :data:`BLOCK` bytes; taking one waits for one."""

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[Buffer] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(mmap.mmap(-1, BLOCK))

    def take(self) -> Buffer:
        return self._free.get()

    def give(self, buffer: Buffer) -> None:
        self._free.put(buffer)


class Source(Protocol):
    """An image: its size in bytes once written, and its pieces."""

    path: Path
    size: int

    def pieces(self, buffers: Buffers) -> Iterator[Piece]:
        """The whole image in order. Whoever gets a piece gives its buffer back."""


def same(one: Buffer, other: Buffer, length: int) -> bool:
    """Whether the first ``length`` bytes are equal. memcmp(3), because comparing Python's views
    goes byte by byte and holds the interpreter's lock.
    """
    views = ((ctypes.c_char * length).from_buffer(part) for part in (one, other))
    return bool(_memcmp(*views, ctypes.c_size_t(length)) == 0)


def open_image(path: Path, monitor: Monitor) -> Source:
    """The image at ``path``; :class:`NotFound`, or :class:`BadInput` for what isn't one."""
    if not path.is_file():
        raise NotFound(f"{path} is not there", hint="name the image: out/goni_<version>_x86-64.raw")
    compressed = path.name.endswith(".zst")
    found: Source = Compressed(path, monitor) if compressed else Raw(path)
    check_table(found)
    return found


def check_table(image: Source) -> None:
    """Refuse what has no partition table or ends before the table says (UEFI specification, 5.3):
    no image of Goni's, or not all of one.
    """
    buffers = Buffers(2)
    first = next(image.pieces(buffers), None)
    start = first.buffer[: 2 * SECTOR] if first and first.buffer else b""
    header = start[SECTOR:]
    if len(header) < SECTOR or header[:8] != b"EFI PART":
        raise BadInput(
            f"{image.path.name} is not a disk image: it has no partition table",
            hint="name the file that ends in .raw or .raw.zst",
        )
    (backup,) = struct.unpack_from("<Q", header, 32)
    if image.size % SECTOR or image.size < (backup + 1) * SECTOR:
        raise BadInput(f"{image.path.name} is not complete", hint="fetch or build it again")
    (length, crc) = struct.unpack_from("<II", header, 12)
    blanked = header[:16] + bytes(4) + header[20:length]
    if not 92 <= length <= SECTOR or zlib.crc32(blanked) != crc:
        raise BadInput(f"{image.path.name}: its partition table is damaged", hint="fetch it again")


class Raw:
    """A raw image; holes in the file are not read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def pieces(self, buffers: Buffers) -> Iterator[Piece]:
        with self.path.open("rb", buffering=0) as file:
            at = 0
            while at < self.size:
                data, end = extent(file.fileno(), at, self.size)
                yield from _hole(at, data)
                for start, length in _blocks(data, end):
                    buffer = buffers.take()
                    _fill(file, buffer, start, length)
                    yield _piece(start, length, buffer, buffers)
                at = end
            if os.fstat(file.fileno()).st_size != self.size:
                raise _shorter()


class Compressed:
    """An image compressed by zstd. Its size is only known once it was read to the end, which is
    done here; ``sha256`` is the image's, not the compressed file's.
    """

    def __init__(self, path: Path, monitor: Monitor) -> None:
        self.path = path
        self.size = 0
        digest = hashlib.sha256()
        with path.open("rb") as file:
            monitor.phase("unpack", path.stat().st_size)
            read = 0
            for block in self._blocks(file):
                self.size += len(block)
                if self.size > LARGEST:
                    raise BadInput(f"{path.name} holds more than any image of Goni's")
                digest.update(block)
                monitor.advance(file.tell() - read)
                read = file.tell()
        self.sha256 = digest.hexdigest()

    def _blocks(self, file: BinaryIO) -> Iterator[memoryview]:
        """The image in views of at most :data:`BLOCK` bytes, each good until the next."""
        block = memoryview(bytearray(BLOCK))
        stream = _decompressor(file)
        while True:
            count = 0
            while count < BLOCK and (got := self._read(stream, block[count:])):
                count += got
            if not count:
                return
            yield block[:count]

    def _read(self, stream: _Stream, view: memoryview) -> int:
        import zstandard  # noqa: PLC0415 - only needed, and only installed, for compressed images

        try:
            return stream.readinto(view)
        except zstandard.ZstdError as error:
            raise BadInput(
                f"{self.path.name} is damaged: {error}", hint="fetch it again"
            ) from error

    def pieces(self, buffers: Buffers) -> Iterator[Piece]:
        at = 0
        with self.path.open("rb") as file:
            for block in self._blocks(file):
                buffer = buffers.take()
                memoryview(buffer)[: len(block)] = block
                yield _piece(at, len(block), buffer, buffers)
                at += len(block)


class _Stream(Protocol):
    def readinto(self, view: memoryview) -> int: ...


def _decompressor(file: BinaryIO) -> _Stream:
    try:
        import zstandard  # noqa: PLC0415 - see above
    except ImportError as error:
        raise GoniError(
            "compressed images need the Python package zstandard",
            hint="pip install zstandard, or unpack the image first: zstd -d IMAGE.raw.zst",
        ) from error
    # 128 MiB: what zstd --long=27 makes; larger windows are refused instead of filling the memory.
    made = zstandard.ZstdDecompressor(max_window_size=128 << 20)
    reader: _Stream = made.stream_reader(file, read_across_frames=True, closefd=False)
    return reader


def _hole(at: int, end: int) -> Iterator[Piece]:
    for start in range(at, end, HOLE):
        yield Piece(start, min(HOLE, end - start), None)


def _blocks(at: int, end: int) -> Iterator[tuple[int, int]]:
    while at < end:
        length = min(BLOCK - at % BLOCK, end - at)
        yield at, length
        at += length


def _fill(file: BinaryIO, buffer: Buffer, at: int, length: int) -> None:
    view = memoryview(buffer)
    done = 0
    while done < length:
        got = os.preadv(file.fileno(), [view[done:length]], at + done)
        if not got:
            raise _shorter()
        done += got


def _shorter() -> BadInput:
    return BadInput("the image changed its size while it was read", hint="start again")


def _piece(at: int, length: int, buffer: Buffer, buffers: Buffers) -> Piece:
    if not same(buffer, ZEROS, length):
        return Piece(at, length, buffer)
    buffers.give(buffer)
    return Piece(at, length, None)
