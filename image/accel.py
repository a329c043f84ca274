"""How a virtual machine's processor runs: under KVM where KVM really runs firmware, else emulated.

``/dev/kvm`` can exist and answer and still not run a guest (nested hosts without MSRs or SMM), so
the probe starts the very firmware that the machines use and waits for its first word on the serial
port. Asked once per process.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goni_core.run import start
from image import firmware, tools

PATIENCE = 12.0
"""Seconds for the firmware's first word: 1 to 3 under KVM; emulated it takes 6 and more."""


@dataclass(frozen=True)
class Accel:
    """A way to run the guest's processor, and QEMU's words for it."""

    name: str
    words: tuple[str, ...]


KVM = Accel("kvm", ("-accel", "kvm", "-cpu", "host"))
TCG = Accel("tcg", ("-accel", "tcg,thread=multi", "-cpu", "max"))


@functools.cache
def best() -> Accel:
    """:data:`KVM` when the firmware runs under it on this machine, :data:`TCG` otherwise."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    folder = Path(tempfile.mkdtemp(prefix="goni-kvm-"))
    try:
        variables = firmware.fresh_variables(folder / "vars.fd")
        serial = folder / "serial"
        return KVM if speaks(tools.in_tree(probe_argv(KVM, variables, serial)), serial) else TCG
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def probe_argv(accel: Accel, variables: Path, serial: Path) -> list[str]:
    """QEMU with the firmware, a serial port and nothing else."""
    return [
        "qemu-system-x86_64", "-nodefaults", "-display", "none", "-m", "256",
        *accel.words,
        *firmware.words(variables),
        "-serial", f"file:{serial}",
    ]  # fmt: skip


def speaks(argv: Sequence[str], serial: Path, *, patience: float = PATIENCE) -> bool:
    """True when the guest that ``argv`` starts writes to ``serial`` within ``patience`` seconds."""
    guest = start(argv)
    end = time.monotonic() + patience
    try:
        while time.monotonic() < end and guest.poll() is None:
            if serial.exists() and serial.stat().st_size > 0:
                return True
            time.sleep(0.1)
        return False
    finally:
        guest.kill()
        guest.wait()
