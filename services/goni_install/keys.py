"""The keys of an encrypted root, each a slot of its LUKS2 header.

- the TPM's, bound to the signed policy of PCR 11 and an untouched PCR 15 (SECURITY.md). Once the
  root is open PCR 15 has changed, so the running system can't use this one.
- its own, 64 random bytes in a file inside the root: who can read it has the root open already.
  With it the running system adds a recovery key, or binds the root to the TPM again.
- the recovery key, on paper.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goni_core import files
from goni_core.run import run

PCRS = ("--tpm2-pcrs=15:sha256=" + "0" * 64, "--tpm2-public-key-pcrs=11")
"""PCR 15 as it is before a root was opened, whatever it is now."""
BYTES = 64
OWN = Path("var/lib/goni/install/root.key")
"""Where the root's own key is, below the root."""
SECONDS = 300


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """A new key in a file of ``folder`` (in memory), gone after the block."""
    path = folder / "root.key"
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(BYTES))
        os.close(handle)
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def opened(partition: Path, key: Path, name: str) -> Iterator[Path]:
    """The encrypted ``partition`` as a device, for as long as the block lasts."""
    run(["cryptsetup", "open", "--key-file", key, partition, name], timeout=SECONDS)
    try:
        yield Path("/dev/mapper", name)
    finally:
        run(["cryptsetup", "close", name], timeout=SECONDS)


def keep(key: Path, root: Path) -> None:
    """Put ``key`` where the system that runs from ``root`` finds it."""
    place = root / OWN
    for folder in (root / "var/lib/goni", place.parent):
        folder.mkdir(parents=True, exist_ok=True)
    place.parent.chmod(0o700)
    files.write(place, key.read_bytes())
