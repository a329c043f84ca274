"""A block map beside the image, for bmaptool and imagers that take one: which blocks hold data, and
their checksums.

The format is bmaptool's own, version 2.0 (bmap-tools, docs/README and BmapCreate.py). Unlike what
bmaptool does with what isn't mapped (nothing: it stays as it was), goni-flash makes zeros of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from goni_core import files
from goni_core.sparse import extent

BLOCK = 4096


@dataclass(frozen=True)
class Range:
    """Blocks ``first`` to ``last`` (inclusive) and the SHA-256 of their bytes."""

    first: int
    last: int
    sha256: str


def write(image: Path) -> Path:
    """Map ``image``; the map's file, with ``.bmap`` for the image's ending."""
    target = image.with_suffix(".bmap")
    files.write(target, document(image.stat().st_size, list(ranges(image))), mode=0o644)
    return target


def ranges(image: Path) -> Iterator[Range]:
    """The stretches of ``image`` that are no holes."""
    with image.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            data, end = extent(file.fileno(), at, size)
            if data < size:
                digest = hashlib.sha256()
                file.seek(data)
                for start in range(data, end, 1 << 20):
                    digest.update(file.read(min(1 << 20, end - start)))
                yield Range(data // BLOCK, (end - 1) // BLOCK, digest.hexdigest())
            at = end


def document(size: int, mapped: list[Range]) -> bytes:
    """The map of an image of ``size`` bytes. Its own checksum is computed over the map with zeros
    in the checksum's place.
    """
    root = ElementTree.Element("bmap", version="2.0")
    facts = {
        "ImageSize": size,
        "BlockSize": BLOCK,
        "BlocksCount": -(-size // BLOCK),
        "MappedBlocksCount": sum(one.last - one.first + 1 for one in mapped),
        "ChecksumType": "sha256",
        "BmapFileChecksum": "0" * 64,
    }
    for name, value in facts.items():
        ElementTree.SubElement(root, name).text = f" {value} "
    table = ElementTree.SubElement(root, "BlockMap")
    for one in mapped:
        words = f" {one.first} " if one.first == one.last else f" {one.first}-{one.last} "
        ElementTree.SubElement(table, "Range", chksum=one.sha256).text = words
    ElementTree.indent(root, "    ")
    blank = b'<?xml version="1.0" ?>\n' + ElementTree.tostring(root) + b"\n"
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)
