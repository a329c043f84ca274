"""What protects this node, as the kernel tells it: Secure Boot, TPM, encryption of the root.

Each function takes the folder that plays ``/`` and returns the last part of a text's key, so that
nothing here decides how it is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""EFI_GLOBAL_VARIABLE, UEFI specification, section 3.3."""
ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Protection:
    """One finding: its texts are ``protection.<subject>.title`` and ``.<state>``."""

    subject: str
    state: str

    @property
    def good(self) -> bool:
        return self.state in ("enabled", "two", "luks2")


def look(root: Path = Path("/")) -> tuple[Protection, ...]:
    """Everything that protects this node, or doesn't."""
    return (
        Protection("secure_boot", secure_boot(root)),
        Protection("tpm", tpm(root)),
        Protection("encryption", encryption(root)),
    )


def secure_boot(root: Path) -> str:
    """enabled, setup_mode, disabled, legacy (no UEFI) or unknown."""
    if not (root / "sys/firmware/efi").is_dir():
        return "legacy"
    variables = root / "sys/firmware/efi/efivars"
    if _efi_flag(variables / f"SecureBoot-{GLOBAL}"):
        return "enabled"
    if _efi_flag(variables / f"SetupMode-{GLOBAL}"):
        return "setup_mode"
    if not variables.is_dir() or not any(variables.iterdir()):
        return "unknown"
    return "disabled"


def tpm(root: Path) -> str:
    """two, old or none."""
    version = _text(root / "sys/class/tpm/tpm0/tpm_version_major")
    if version is None:
        return "none"
    return "two" if version == "2" else "old"


def encryption(root: Path) -> str:
    """luks2, luks1, none, or unknown when the root's device can't be found."""
    source = root_source(_text(root / "proc/self/mountinfo") or "")
    if not source.startswith("/dev/"):
        return "unknown"
    name = source.removeprefix("/dev/").removeprefix("mapper/")
    for device in sorted((root / "sys/block").glob("dm-*")):
        if name in (device.name, _text(device / "dm/name")):
            return _crypt_kind(_text(device / "dm/uuid") or "")
    return "unknown" if source.startswith(("/dev/mapper/", "/dev/dm-")) else "none"


def root_source(mountinfo: str) -> str:
    """The device mounted at ``/`` (proc_pid_mountinfo(5)); empty when there is none."""
    found = ""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        columns, rest = before.split(), after.split()
        # The last mount over / is the one that is seen.
        if separator and len(columns) >= 6 and columns[4] == "/" and len(rest) >= 2:
            found = ESCAPE.sub(lambda match: chr(int(match[1], 8)), rest[1])
    return found


def _crypt_kind(uuid: str) -> str:
    kinds = {"CRYPT-LUKS2-": "luks2", "CRYPT-LUKS1-": "luks1"}
    return next((kind for prefix, kind in kinds.items() if uuid.startswith(prefix)), "none")


def _efi_flag(path: Path) -> bool:
    """efivarfs puts four bytes of attributes before the value."""
    try:
        with path.open("rb") as source:
            return source.read(5)[4:] == b"\x01"
    except OSError:
        return False


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as source:
            return source.read(1 << 20).decode("utf-8", errors="replace").strip()
    except OSError:
        return None
