"""Sparse files: what of them is data (lseek(2), SEEK_DATA)."""

from __future__ import annotations

import errno
import os


def extent(handle: int, at: int, size: int) -> tuple[int, int]:
    """Where the next data of a file of ``size`` bytes begins, from ``at`` on, and where it ends."""
    try:
        data = os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size, size
    return data, os.lseek(handle, data, os.SEEK_HOLE)
