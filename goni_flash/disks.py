"""Which disks goni-flash may erase: :func:`find` and :func:`refusals` judge what
:mod:`goni_core.disks` knows. What slips through is refused by the kernel itself, since the disk is
opened exclusively (``target``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from goni_core.disks import Disk, Refusal, amount, in_use
from goni_core.errors import BadInput, NotFound

SECTOR = 512
"""Bytes of a sector as the image's partition table counts them."""


def find(name: str, disks: Sequence[Disk]) -> Disk:
    """The disk that ``name`` means: its path, a link to it, or a plain file that stands for one.

    Raises :class:`NotFound` and :class:`BadInput` with what to name instead.
    """
    path = Path(name).resolve()
    for disk in disks:
        if disk.path == str(path):
            return disk
        if str(path) in {content.path for content in disk.contents}:
            raise BadInput(
                f"{name} is only a part of a disk", hint=f"name the whole disk: {disk.path}"
            )
    try:
        status = path.stat()
    except OSError as error:
        raise NotFound(f"{name} is not there", hint="goni-flash --list shows the disks") from error
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{name} is not a disk", hint="goni-flash --list shows the disks")
    writable = os.access(path, os.W_OK)
    return Disk(str(path), "file", status.st_size, SECTOR, path.name, "", "", not writable, True)


def refusals(disk: Disk, size: int, *, serial: str = "") -> list[Refusal]:
    """Why ``disk`` may not be erased for an image of ``size`` bytes; empty when it may.

    ``serial`` is what the person typed to allow a disk that isn't removable.
    """
    found = [*in_use(disk)]
    if disk.read_only:
        hint = "move the lock switch of the card or stick, or take another one"
        found.append(Refusal("read_only", "it is write-protected", hint))
    if disk.size < size:
        words = f"it holds {amount(disk.size)}, the image needs {amount(size)}"
        found.append(Refusal("too_small", words, "take a larger one"))
    if disk.sector != SECTOR:
        words = f"it has sectors of {disk.sector} bytes, the image is for {SECTOR}"
        found.append(Refusal("sector_size", words, "take another disk"))
    if not disk.removable and serial != disk.identity:
        hint = f"to erase it all the same, add --serial {disk.identity}"
        found.append(Refusal("not_removable", "it is built into this machine", hint))
    return found
