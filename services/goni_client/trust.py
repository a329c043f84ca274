"""What the node's protection stands on: Secure Boot, the TPM, firmware and clock.

Secure Boot and setup mode are bytes of UEFI variables, after four bytes of attributes (UEFI
specification, section 3.3; linux/Documentation/filesystems/efivarfs.rst).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from goni_client.findings import Finding, bad, good, unknown, warning
from goni_core.run import run

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
ENROL = 'put the firmware into setup mode and choose "Enroll Secure Boot keys" in the boot menu'
IMAGE_DATE = Path("/usr/lib/os-release")


def look_secure_boot(efi: Path = Path("/sys/firmware/efi")) -> Iterator[Finding]:
    area = "secure boot"
    if not efi.is_dir():
        yield bad(area, "this machine was started by a legacy BIOS", "switch its firmware to UEFI")
        return
    if _variable(efi, "SecureBoot") == 1:
        yield good(area, "on")
    elif _variable(efi, "SetupMode") == 1:
        yield warning(area, "off: the firmware is in setup mode", ENROL)
    else:
        yield warning(area, "off: a changed boot disk would not be noticed", ENROL)


def _variable(efi: Path, name: str) -> int | None:
    try:
        value = (efi / "efivars" / f"{name}-{GLOBAL}").read_bytes()
    except OSError:
        return None
    return value[4] if len(value) == 5 else None


def look_tpm(devices: Path = Path("/sys/class/tpm")) -> Iterator[Finding]:
    area = "tpm"
    found = sorted(devices.glob("tpm[0-9]*")) if devices.is_dir() else []
    if not found:
        yield bad(
            area,
            "none: the disk's key can't be bound to this machine",
            'turn "fTPM", "PTT" or "security device" on in the firmware\'s settings',
        )
        return
    version = _text(found[0] / "tpm_version_major")
    if version != "2":
        yield bad(
            area, f"version {version or 'unknown'}, 2.0 is needed", "look for a firmware update"
        )
        return
    banks = (found[0] / "pcr-sha256").is_dir()
    if not banks:
        yield warning(area, "2.0, without SHA-256 registers", "turn its SHA-256 bank on")
    else:
        yield good(area, "2.0")


def look_firmware(dmi: Path = Path("/sys/class/dmi/id")) -> Iterator[Finding]:
    """Versions, never serial numbers or asset tags."""
    area = "firmware"
    names = ("sys_vendor", "product_name", "bios_version", "bios_date")
    vendor, product, version, date = (_text(dmi / name) for name in names)
    if not version:
        yield unknown(area, "the board does not say its version")
        return
    yield good(area, f"{vendor} {product}: BIOS {version} of {date}".strip())
    microcode = _microcode(Path("/proc/cpuinfo"))
    if microcode:
        yield good(area, f"microcode {microcode}")


def _microcode(cpuinfo: Path) -> str:
    lines = cpuinfo.read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("microcode")), "")


def look_clock() -> Iterator[Finding]:
    """Against the image's date, and whether a time server is heard."""
    done = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=30)
    image = datetime.fromtimestamp(IMAGE_DATE.stat().st_mtime, UTC)
    yield clock(datetime.now(UTC), image, heard=done.text.strip() == "yes")


def clock(now: datetime, image: datetime, *, heard: bool) -> Finding:
    area = "clock"
    if now < image:
        words = f"it says {now:%Y-%m-%d}, but this version is from {image:%Y-%m-%d}"
        return bad(area, words, "set it in the firmware; its battery may be empty")
    words = f"{now:%Y-%m-%d %H:%M} UTC"
    return good(area, f"{words}, set by a time server" if heard else f"{words}, not checked")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()[:80]
    except OSError:
        return ""
