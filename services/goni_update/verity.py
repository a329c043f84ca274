"""dm-verity's root hash and hash tree, computed from the data.

Format: version 1, SHA-256, 4 KiB blocks, as veritysetup(8) and systemd-repart write it; see
https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity. The tree is what the usr-verity partition
holds behind its superblock, so it never has to be fetched when /usr is here.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput

BLOCK = 4096
_SUPER = struct.Struct("<8sII16s32sIIQH6s256s")


@dataclass(frozen=True)
class Superblock:
    """The first 512 bytes of a hash partition. ``blocks`` is how many data blocks are hashed."""

    raw: bytes
    blocks: int
    salt: bytes


def superblock(raw: bytes) -> Superblock:
    """A hash partition's superblock; :class:`BadInput` for another format than ours."""
    if len(raw) < _SUPER.size:
        raise BadInput("the verity superblock is cut")
    magic, number, kind, _, hashed, data, hashes, blocks, salted, _, salt = _SUPER.unpack_from(raw)
    known = (number, kind, hashed.rstrip(b"\0"), data, hashes) == (1, 1, b"sha256", BLOCK, BLOCK)
    if magic != b"verity\0\0" or not known or salted > 256 or not 0 < blocks < 1 << 24:
        raise BadInput("the verity superblock is not one of ours")
    return Superblock(raw[: _SUPER.size], blocks, salt[:salted])


def tree(data: Path, head: Superblock, *, start: int = 0) -> tuple[str, bytes]:
    """The root hash in hex and the content of the hash partition for ``data``, without the zeros
    that fill it up. ``data`` counts from byte ``start`` on; :class:`BadInput` when it is shorter
    than ``head`` says.
    """
    level = list(_hashes(_blocks(data, head.blocks, start), head.salt))
    levels: list[bytes] = []
    while len(level) > 1:
        packed = b"".join(level)
        packed += bytes(-len(packed) % BLOCK)
        levels.append(packed)
        cuts = (packed[start : start + BLOCK] for start in range(0, len(packed), BLOCK))
        level = list(_hashes(cuts, head.salt))
    # On the disk the level nearest to the root comes first.
    body = b"".join(reversed(levels))
    return level[0].hex(), head.raw.ljust(BLOCK, b"\0") + body


def _hashes(blocks: Iterator[bytes], salt: bytes) -> Iterator[bytes]:
    salted = hashlib.sha256(salt)
    for block in blocks:
        digest = salted.copy()
        digest.update(block)
        yield digest.digest()


def _blocks(data: Path, count: int, start: int) -> Iterator[bytes]:
    with data.open("rb") as source:
        source.seek(start)
        for _ in range(count):
            block = source.read(BLOCK)
            if len(block) != BLOCK:
                raise BadInput("/usr is shorter than its verity data says")
            yield block
