"""The Python packages of the image that Debian doesn't carry, from a hash-locked file.

Unpacked below ``out/python``, which the image takes as a whole into its ``dist-packages``.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from goni_core import files
from image import locked

LOCK = Path(__file__).parent / "parts.lock"
SOURCES = Path("out/cache/sources")


def ensure(folder: Path) -> None:
    """Make ``folder`` hold what the lock names, and nothing else."""
    key = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    stamp = SOURCES / "parts.key"
    if folder.is_dir() and stamp.is_file() and stamp.read_text() == key:
        return
    locked.fetch(LOCK, SOURCES)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    locked.unpack_wheels(LOCK, SOURCES, folder)
    files.write(stamp, key.encode())
