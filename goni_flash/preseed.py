"""Put a checked ``goni.yaml`` on the boot partition of a disk that was just written.

The partition is FAT and is reached by mtools at its offset on the disk: nothing is mounted, so no
file manager and no half-written mount can get in between. What was put there is read back.
"""

from __future__ import annotations

import shutil
import struct
import uuid
from pathlib import Path

from goni_core import preseed
from goni_core.errors import BadInput, GoniError
from goni_core.run import missing, run

ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
"""UEFI specification, table 5-7."""
SECTOR = 512


def load(path: Path) -> bytes:
    """The file's bytes, once its content was found good; :class:`BadInput` names what is not."""
    if not shutil.which("mcopy"):  # found out now, not after the writing
        raise missing("mcopy")
    try:
        with path.open("rb") as file:
            data = file.read(preseed.LIMIT + 1)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", hint="name the preseed file") from error
    try:
        preseed.parse(data)
    except BadInput as error:
        raise BadInput(
            f"{path.name}: {error.message}",
            hint=error.hint or "goni-flash --help-preseed lists what it may hold",
            code=error.code,
        ) from error
    return data


def put(disk: Path, data: bytes) -> None:
    """Write ``data`` to the ESP of ``disk``, replacing an earlier one."""
    place = f"{disk}@@{esp(disk)}"
    env = {"MTOOLS_SKIP_CHECK": "1"}
    run(["mcopy", "-o", "-i", place, "-", f"::{preseed.FILE}"], input=data, timeout=120, env=env)
    back = run(["mtype", "-i", place, f"::{preseed.FILE}"], timeout=120, env=env).stdout
    if back != data:
        raise GoniError(f"{disk} gives back another preseed than was written", code="disk_lies")


def esp(disk: Path) -> int:
    """Where the EFI system partition of ``disk`` begins, in bytes (UEFI specification, 5.3)."""
    with disk.open("rb") as file:
        file.seek(SECTOR)
        header = file.read(SECTOR)
        table, count, length = struct.unpack_from("<QII", header, 72)
        if header[:8] != b"EFI PART" or not 128 <= length <= 4096 or count > 1024:
            raise BadInput(f"{disk} has no usable partition table")
        file.seek(table * SECTOR)
        for _ in range(count):
            entry = file.read(length)
            if entry[:16] == ESP.bytes_le:
                return int(struct.unpack_from("<Q", entry, 32)[0]) * SECTOR
    raise BadInput(f"{disk} has no boot partition", hint="a preseed only goes with Goni's image")
