"""The Goni that runs: its version, and the disk and slot it was started from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import GoniError

HALF = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})")
USRHASH = re.compile(r"(?:^|\s)usrhash=([0-9a-f]{64})(?:\s|$)")


@dataclass(frozen=True)
class Running:
    """``version`` and ``roothash`` as signed; ``disk`` is what it was started from; ``usr``,
    ``verity`` and ``signature`` are its partitions; ``esp`` is where the boot partition is mounted.
    """

    version: str
    roothash: str
    disk: Path
    usr: Path
    verity: Path
    signature: Path
    esp: Path
    tpm: bool

    @property
    def label(self) -> str:
        return f"goni_{self.version}"

    @property
    def usr_uuid(self) -> str:
        """The partitions' UUIDs are the halves of the root hash (systemd-veritysetup-generator)."""
        return _dashed(self.roothash[:32])

    @property
    def verity_uuid(self) -> str:
        return _dashed(self.roothash[32:])

    @property
    def uki(self) -> Path:
        """The UKI of this version, whatever its counter of tries says."""
        found = sorted(self.esp.glob(f"EFI/Linux/{self.label}_x86-64*.efi"))
        if not found:
            raise GoniError("the running version has no UKI on its boot partition")
        return found[0]


def look(root: Path = Path("/")) -> Running:
    """The system that runs below ``root``; :class:`GoniError` when it isn't Goni's image."""
    release = _pairs(root / "usr/lib/os-release")
    found = USRHASH.search((root / "proc/cmdline").read_text().strip())
    if release.get("ID") != "goni" or not found:
        raise GoniError("this is not a Goni", hint="goni-install runs on the node itself")
    version = release["IMAGE_VERSION"]
    goni = root / "dev/goni"
    return Running(
        version=version,
        roothash=found[1],
        disk=goni.joinpath("disk").resolve(),
        usr=goni / "usr",
        verity=goni / "usr-verity",
        signature=goni / "by-label" / f"goni_{version}_verity_sig",
        esp=root / "boot",
        tpm=root.joinpath("dev/tpmrm0").exists(),
    )


def _pairs(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value.strip("\"'") for name, _, value in lines}


def _dashed(half: str) -> str:
    return HALF.sub(r"\1-\2-\3-\4-\5", half)
