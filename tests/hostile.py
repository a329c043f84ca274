"""Files that call themselves GGUF models and are none, or worse: one of each kind that a person, a
stick or a hub could hand over. ``tests/unit/test_engine_gguf.py`` forges many more against the
parser itself.
"""

from __future__ import annotations

import io
import struct
import zipfile


def hostile(good: bytes) -> dict[str, bytes]:
    """Name and content of each, made of nothing or of the whole model ``good``."""
    return {
        "truncated-header": good[:1000],
        "truncated-weights": good[:-4096],
        "huge-counts": b"GGUF" + struct.pack("<IQQ", 3, (1 << 64) - 1, (1 << 63)) + bytes(4096),
        "huge-string": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, (1 << 64) - 8) + bytes(4096),
        "overflowing-offset": _one_tensor((1 << 32, 1 << 32), (1 << 64) - 32),
        "zip": _archive(good),
        "text": b"<!doctype html><p>Not found" * 100,
    }


def _one_tensor(shape: tuple[int, int], offset: int) -> bytes:
    name = b"output.weight"
    tensor = struct.pack("<Q", len(name)) + name + struct.pack("<IQQIQ", 2, *shape, 0, offset)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor + bytes(4096)


def _archive(good: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("model.gguf", good[:4096])
    return target.getvalue()
