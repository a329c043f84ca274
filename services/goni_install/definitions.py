"""What systemd-repart is told to make of an empty disk: the image's own definitions (repart.d(5)),
with the running version's names in slot A.

/usr and its tree must carry the UUIDs that the signed root hash gives them. The root gets a key
that is kept inside it (see ``keys``), and is bound to the TPM where there is one.
"""

from __future__ import annotations

import re
from pathlib import Path

from goni_core.errors import BadInput
from goni_install.running import Running

FOLDER = Path("/usr/lib/repart.d")
SIZE = re.compile(r"^SizeMinBytes=(\d+)([KMGT]?)$", re.MULTILINE)
UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
SLACK = 16 << 20
"""Bytes for the table's two copies, and for aligning."""


def texts(running: Running, folder: Path = FOLDER) -> dict[str, str]:
    """The definitions by their file names."""
    found = {path.name: path.read_text() for path in sorted(folder.glob("*.conf"))}
    read_only = "ReadOnly=yes\n"
    found["00-esp.conf"] += "Format=vfat\n"
    found["10-usr-verity-sig-a.conf"] += "SizeMinBytes=16K\nSizeMaxBytes=16K\n"
    found["11-usr-verity-a.conf"] += f"UUID={running.verity_uuid}\n{read_only}"
    found["12-usr-a.conf"] += f"UUID={running.usr_uuid}\n{read_only}"
    by = "key-file+tpm2" if running.tpm else "key-file"
    found["40-root.conf"] = re.sub("(?m)^Encrypt=.*$", f"Encrypt={by}", found["40-root.conf"])
    return found


def least(texts: dict[str, str]) -> int:
    """How many bytes a disk has to have."""
    sizes = [one for text in texts.values() for one in SIZE.findall(text)]
    if len(sizes) < len(texts):
        raise BadInput("a partition has no size", hint="every file in repart.d needs SizeMinBytes=")
    return SLACK + sum(int(number) << UNITS[unit] for number, unit in sizes)


def write(texts: dict[str, str], folder: Path) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text)
