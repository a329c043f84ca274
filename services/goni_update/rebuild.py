"""A new version's parts out of the running one's and a delta, bit for bit.

/usr: most 4 KiB blocks of the next image are somewhere in the running one, since mkfs.erofs stores
a file that didn't change in the same bytes; those are copied. Files that did change come as
patches against the old files (zstd --patch-from) and are packed by mkfs.erofs into a small image of
their own, which holds the blocks that the next one has. What is in neither (directories, inodes)
is sent as blocks, in the same patch against the old image's blocks that are no longer used.
The UKI: a zstd patch against the old UKI. Whether the result is right is not decided here but by
its hashes.

A delta file: ``GONIDLT2``, the length of the header (4 bytes, big endian), the header (JSON, zstd),
the patch.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from goni_core import fields
from goni_core.errors import BadInput, GoniError
from goni_core.run import Argument, Limits, run

MAGIC = b"GONIDLT2"
BLOCK = 4096
OLD, MADE, SENT = range(3)
"""Where blocks come from: the running image, the image of the changed files, the patch."""
HEADER_LIMIT = 32 << 20
MOST = 1_000_000
"""Paths, files or runs of blocks in a header."""
MOST_BLOCKS = 1 << 24
MEMORY = 1400 << 20
"""Bytes of address space that a program of a rebuild may use."""
MINUTES = 3600
MKFS: tuple[Argument, ...] = ("mkfs.erofs",)
"""The words that start it: a build host has it in the tools tree only."""


@dataclass(frozen=True)
class Run:
    """``count`` blocks from block ``start`` on."""

    start: int
    count: int


@dataclass(frozen=True)
class Move:
    """A run of ``source``'s blocks, which comes next in the new image."""

    source: int
    run: Run


@dataclass(frozen=True)
class Header:
    """What a /usr delta says. The patch is made against the blocks ``base`` of the running image
    and the files ``uses`` of its tree; it gives ``sent`` blocks and then files of the sizes
    ``fresh``. ``moves`` put the new image together.
    """

    base: tuple[Run, ...]
    uses: tuple[str, ...]
    sent: int
    fresh: tuple[int, ...]
    moves: tuple[Move, ...]

    @property
    def blocks(self) -> int:
        """Of the new image."""
        return sum(move.run.count for move in self.moves)

    def plain(self) -> bytes:
        whole = {
            "base": [[run.start, run.count] for run in self.base],
            "uses": self.uses,
            "sent": self.sent,
            "fresh": [[size] for size in self.fresh],
            "moves": [[move.source, move.run.start, move.run.count] for move in self.moves],
        }
        return json.dumps(whole, separators=(",", ":")).encode()


def header(data: bytes) -> Header:
    """The header in ``data``; :class:`BadInput` names the field that is wrong."""
    whole = fields.parse(data)
    fields.only(whole, ("base", "uses", "sent", "fresh", "moves"))
    moves = _rows(whole, "moves", 3)
    if any(source not in (OLD, MADE, SENT) for source, _, _ in moves):
        raise BadInput("moves names an unknown source")
    return Header(
        tuple(Run(start, count) for start, count in _rows(whole, "base", 2)),
        _paths(whole.get("uses")),
        fields.integer(whole, "sent", least=0, most=MOST_BLOCKS),
        tuple(size for (size,) in _rows(whole, "fresh", 1)),
        tuple(Move(source, Run(start, count)) for source, start, count in moves),
    )


def _rows(whole: fields.Object, name: str, width: int) -> list[list[int]]:
    """Rows of ``width`` counts of bytes or blocks."""
    rows = whole.get(name)
    if not isinstance(rows, list) or len(rows) > MOST:
        raise BadInput(f"{name} must be a list of counts")
    for row in rows:
        if not isinstance(row, list) or len(row) != width:
            raise BadInput(f"{name} must be a list of counts")
        if not all(type(one) is int and 0 <= one < 1 << 32 for one in row):
            raise BadInput(f"{name} must be a list of counts")
    return rows


def _paths(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST:
        raise BadInput("uses must be a list of paths")
    for path in value:
        if not isinstance(path, str) or {"", ".", ".."} & set(path.split("/")) or "\0" in path:
            raise BadInput("uses holds a path that leaves /usr")
    return tuple(value)


def join(target: Path, head: bytes, patch: Path) -> None:
    """Write a delta file."""
    with target.open("wb") as sink, patch.open("rb") as source:
        sink.write(MAGIC + len(head).to_bytes(4, "big") + head)
        while block := source.read(1 << 20):
            sink.write(block)


def split(delta: Path, work: Path) -> tuple[bytes, Path]:
    """A delta file's header, still packed, and its patch as a file in ``work``."""
    patch = work / "patch"
    with delta.open("rb") as source, patch.open("wb") as sink:
        if source.read(len(MAGIC)) != MAGIC:
            raise BadInput("this is not a delta, or one for a newer Goni")
        length = int.from_bytes(source.read(4), "big")
        head = source.read(length) if length <= HEADER_LIMIT else b""
        if not head or len(head) != length:
            raise BadInput("the delta's header is cut")
        while block := source.read(1 << 20):
            sink.write(block)
    return head, patch


def usr(
    image: int,
    folder: Path,
    delta: Path,
    target: Path,
    work: Path,
    *,
    limit: int,
    mkfs: Sequence[Argument] | None = None,
) -> None:
    """Rebuild the new /usr's erofs as ``target``, which has ``limit`` bytes, from the running one:
    its ``image`` (a file descriptor) and, in ``folder``, its files.
    """
    packed, patch = split(delta, work)
    head = header(unpack(packed, work))
    if head.blocks * BLOCK != limit:
        raise BadInput("the delta makes a /usr of another size than signed")
    base, given, made = work / "base", work / "given", work / "made.erofs"
    try:
        gather(image, folder, head, base)
        patched(base, patch, given, limit=4 * limit)
        base.unlink()
        make_erofs(given, head, made, work, mkfs=mkfs)
        assemble(image, made, given, head.moves, target)
    except (OSError, tarfile.TarError) as error:
        raise GoniError(f"the new /usr can't be rebuilt: {error}", code="rebuild_failed") from error
    for used in (patch, given, made):
        used.unlink()


def gather(image: int, folder: Path, head: Header, target: Path) -> None:
    """What a patch is made against: the old image's blocks ``base``, the old files ``uses``."""
    with target.open("wb", buffering=0) as sink:
        for wanted in head.base:
            _copy(image, wanted, sink)
        for path in head.uses:
            with (folder / path).open("rb") as source:
                _send(source.fileno(), 0, os.fstat(source.fileno()).st_size, sink)


def patched(old: Path, patch: Path, target: Path, *, limit: int) -> None:
    """Apply a zstd patch."""
    limits = Limits(cpu_s=MINUTES, memory=MEMORY, file_size=limit)
    words: list[Argument] = ["zstd", "-d", "-q", "-f", "--long=31"]
    words += [f"--patch-from={old}", patch, "-o", target]
    run(words, timeout=MINUTES, limits=limits)


def unpack(packed: bytes, work: Path) -> bytes:
    """Decompress a header."""
    source, target = work / "header.zst", work / "header"
    source.write_bytes(packed)
    limits = Limits(cpu_s=60, memory=MEMORY, file_size=HEADER_LIMIT)
    run(["zstd", "-d", "-q", "-f", source, "-o", target], timeout=120, limits=limits)
    return target.read_bytes()


def make_erofs(
    given: Path, head: Header, target: Path, work: Path, *, mkfs: Sequence[Argument] | None = None
) -> None:
    """The image of the changed files. Compressed as systemd-repart has /usr compressed, a file has
    the same blocks in it as there.
    """
    archive = work / "made.tar"
    with given.open("rb") as source, tarfile.open(archive, "w") as sink:
        source.seek(head.sent * BLOCK)
        for number, size in enumerate(head.fresh):
            info = tarfile.TarInfo(f"./{number}")
            info.size = size
            sink.addfile(info, source)
    target.unlink(missing_ok=True)
    words = [*(mkfs or MKFS), "--quiet", "-T0", "-zzstd", "--tar=f", target, archive]
    run(words, timeout=MINUTES)
    archive.unlink()


def assemble(image: int, made: Path, given: Path, moves: Sequence[Move], target: Path) -> None:
    """Put the new image together; :class:`BadInput` when a source is shorter than a move says."""
    with (
        made.open("rb") as small,
        given.open("rb") as sent,
        target.open("wb", buffering=0) as sink,
    ):
        sources = {OLD: image, MADE: small.fileno(), SENT: sent.fileno()}
        for move in moves:
            _copy(sources[move.source], move.run, sink)


def _copy(source: int, wanted: Run, sink: IO[bytes]) -> None:
    _send(source, wanted.start * BLOCK, wanted.count * BLOCK, sink)


def _send(source: int, at: int, left: int, sink: IO[bytes]) -> None:
    """Copy inside the kernel (sendfile(2))."""
    while left:
        done = os.sendfile(sink.fileno(), source, at, left)
        if not done:
            raise BadInput("the delta asks for bytes that aren't there")
        at, left = at + done, left - done


def efi(old: Path, delta: Path, target: Path, work: Path, *, limit: int) -> None:
    """Rebuild the new UKI as ``target`` from the ``old`` one."""
    _, patch = split(delta, work)
    patched(old, patch, target, limit=limit)
    patch.unlink()
