"""What a virtual machine says on its serial port: a log file that QEMU appends to.

Reads the part since the last power-on, without the terminal's control sequences, and never more
than its last few megabytes. Also says how far a boot has come, from the text alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LONGEST = 4 << 20
CONTROL = re.compile(
    r"\x1b\[[0-9;?=<>!]*[@-~]"  # CSI: colours and cursor
    r"|\x1b[P\]X^_].*?(?:\x07|\x1b\\)"  # OSC and DCS: titles, queries
    r"|\x1b[()#%][0-9A-Za-z]"
    r"|\x1b[=>78cDEHMNOZ]"
    r"|[\x00-\x08\x0b-\x1a\x7f\r]",
    re.DOTALL,
)
SETUP = re.compile(r"goni-setup: address=(\S+) pin=([0-9]{6})\b")
"""What the wizard prints for the person in front of the machine."""

EMERGENCY = re.compile(r"You are in emergency mode|Cannot open access to console")
"""A boot that goes no further by itself. A panic isn't one: the kernel restarts after it."""

RESTART = "reboot: Restarting system"

STAGES = (
    ("firmware", re.compile(r"BdsDxe|UEFI|TianoCore")),
    ("boot loader", re.compile(r"systemd-boot|EFI stub|Boot in \d+|[Ee]nroll")),
    ("kernel", re.compile(r"Linux version |Welcome to |systemd\[1\]|\binitrd\b", re.IGNORECASE)),
    (
        "first-boot disk",
        re.compile(r"systemd-repart|Repartition|Encrypt|cryptsetup", re.IGNORECASE),
    ),
    ("services", re.compile(r"Switching root|Reached target .*(?:Basic System|basic\.target)")),
    ("ready", re.compile(r"goni-setup: |goni-gateway\.service.*Started|Started .*goni-gateway")),
)


@dataclass(frozen=True)
class Setup:
    """The wizard's line: the address it listens on, and the PIN."""

    address: str
    pin: str


def plain(raw: bytes) -> str:
    """``raw`` as text without control sequences."""
    return CONTROL.sub("", raw.decode("utf-8", errors="replace"))


def stage(text: str) -> str:
    """How far the boot in ``text`` has come; empty before the firmware's first word."""
    reached = ""
    for name, pattern in STAGES:
        if pattern.search(text):
            reached = name
    return reached


def setup(text: str) -> Setup | None:
    """The wizard's latest address and PIN in ``text``."""
    found = SETUP.findall(text)
    return Setup(*found[-1]) if found else None


def _last(text: str, lines: int) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


class Console:
    """One machine's serial log at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._since = 0

    def mark(self) -> None:
        """From now on only what comes after counts."""
        self._since = self._size()

    def text(self) -> str:
        """What was said since the mark."""
        size = self._size()
        if size <= self._since:
            return ""
        with self.path.open("rb") as source:
            source.seek(max(self._since, size - LONGEST))
            return plain(source.read(LONGEST))

    def tail(self, lines: int = 40) -> str:
        """The last ``lines`` lines that aren't empty."""
        return _last(self.text(), lines)

    def before_restart(self, lines: int = 40) -> str:
        """The last ``lines`` lines before the kernel's latest restart; empty without one."""
        before, found, _after = self.text().rpartition(RESTART)
        return _last(before, lines) if found else ""

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0
