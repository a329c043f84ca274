"""A signed block map (bmaptool's format) spares hashing an image's holes.

The map lists the stretches that hold data with their SHA-256; the list of checksums holds the
map's own. If everything in the file that is no hole lies inside a mapped stretch, and those have
their checksums, then the image is the one that was signed: the rest of both is zeros.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from goni_core.errors import BadInput
from goni_core.progress import Monitor
from goni_core.sparse import extent

RANGE = re.compile(r"\s*(\d{1,12})(?:-(\d{1,12}))?\s*")
STEP = 1 << 20


@dataclass(frozen=True)
class Stretch:
    """Bytes ``start`` to ``end`` (exclusive) of an image, and their SHA-256."""

    start: int
    end: int
    sha256: str


@dataclass(frozen=True)
class BlockMap:
    """An image of ``size`` bytes that is zeros outside ``stretches``, which are in order."""

    size: int
    stretches: tuple[Stretch, ...]


def parse(document: bytes) -> BlockMap:
    """The map in ``document``, which must be signed; :class:`BadInput` when it can't be read."""
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - only what the builder signed comes here
        size, block = (int(root.findtext(name, "")) for name in ("ImageSize", "BlockSize"))
        found = []
        for entry in root.iterfind("BlockMap/Range"):
            match = RANGE.fullmatch(entry.text or "")
            if not match:
                raise ValueError("a range that is none")
            first, last = int(match[1]), int(match[2] or match[1])
            end = min(size, (last + 1) * block)
            found.append(Stretch(first * block, end, entry.attrib["chksum"]))
    except (ElementTree.ParseError, ValueError, KeyError) as error:
        raise BadInput("the block map can't be read", hint="fetch it again") from error
    if any(one.end > other.start for one, other in pairwise(found)):
        raise BadInput("the block map's ranges are out of order")
    return BlockMap(size, tuple(found))


def holds_all(mapped: BlockMap, image: Path) -> bool:
    """Whether ``image`` has the map's size, and holes wherever the map has none of its ranges. A
    copy may have lost its holes: then this is False and the whole file has to be hashed.
    """
    if image.stat().st_size != mapped.size:
        return False
    return all(
        any(one.start <= start and end <= one.end for one in mapped.stretches)
        for start, end in _extents(image)
    )


def _extents(image: Path) -> Iterator[tuple[int, int]]:
    with image.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            data, at = extent(file.fileno(), at, size)
            if data < size:
                yield data, min(at, size)


def damaged(mapped: BlockMap, image: Path, monitor: Monitor) -> bool:
    """Whether any mapped stretch of ``image`` has another checksum; all cores compute."""
    monitor.phase("check", sum(one.end - one.start for one in mapped.stretches))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = threads.map(lambda one: _sha256(image, one, monitor), mapped.stretches)
        return any(
            digest != one.sha256 for digest, one in zip(found, mapped.stretches, strict=True)
        )


def _sha256(image: Path, stretch: Stretch, monitor: Monitor) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(STEP))
    with image.open("rb", buffering=0) as file:
        file.seek(stretch.start)
        left = stretch.end - stretch.start
        while left and (count := file.readinto(buffer[: min(left, STEP)])):
            digest.update(buffer[:count])
            monitor.advance(count)
            left -= count
    return digest.hexdigest()
