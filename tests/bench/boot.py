"""Seconds from power-on until the setup page answers, against a bare Debian's until it reached
``multi-user.target``, in the same virtual machine and the same run, taking turns.

Each run has a blank disk and a blank TPM, and firmware that has the Secure Boot keys already: their
enrolment, with its restart, happens once in a machine's life and is not counted. The first boot is
the one that makes Goni's encrypted root; then the power button, and the second boot, which finds
everything in place. Setup stays undone, so the page is the same both times. Debian's end is a line
on its console; Goni's a whole HTTPS answer, asked for every tenth of a second once the console says
that the wizard is starting.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from image import accel
from image.machine import Machine, Options
from tests.bench.rows import FOLDER, Row, measured

TARGET = 2.0
TIMEOUT = 1200.0
PAUSE = 0.1
OPTIONS = Options(memory=3072, agent=False)
ENROLLED = re.compile(r"EFI stub: UEFI Secure Boot is enabled")
MULTI_USER = re.compile(r"Reached target .*[Mm]ulti-[Uu]ser")
WIZARD = re.compile(r"goni-firstboot\.service|goni-setup:")
BOOTS = ("first boot", "second boot")


@dataclass(frozen=True)
class System:
    """What is booted, and how one sees that it is of use."""

    name: str
    image: Path
    wait: Callable[[Machine], object]


def wait_for_page(machine: Machine) -> None:
    """Until the setup page is served."""
    wait_for_console(machine, WIZARD)

    def look() -> bool:
        page = machine.get_https(timeout=10)
        return page is not None and page.status == 200

    machine.wait_for("the setup page", look, TIMEOUT, pause=PAUSE)


def wait_for_multi_user(machine: Machine) -> None:
    """Until systemd says that everything of ``multi-user.target`` is up."""
    wait_for_console(machine, MULTI_USER)


def wait_for_console(machine: Machine, pattern: re.Pattern[str]) -> None:
    machine.wait_for(
        f"{pattern.pattern!r} on the console",
        lambda: pattern.search(machine.console.text()),
        TIMEOUT,
        pause=PAUSE,
    )


def rows(goni: Path, debian: Path, runs: int) -> list[Row]:
    """The rows of ``runs`` runs with the two raw images."""
    firmware = enrolled(goni)
    systems = (
        System("Debian", debian, wait_for_multi_user),
        System("Goni", goni, wait_for_page),
    )
    samples: list[dict[str, tuple[float, ...]]] = []
    for number in range(1, runs + 1):
        samples.append({one.name: boot_twice(one, firmware, number) for one in systems})
    return compared(samples, accel.best().name)


def enrolled(image: Path) -> Path:
    """A variable store of the firmware into which systemd-boot enrolled ``image``'s keys."""
    with Machine("bench", image, options=OPTIONS) as machine:
        wait_for_console(machine, ENROLLED)
        machine.power_off()
        return Path(shutil.copyfile(machine.folder / "vars.fd", FOLDER / "vars.fd"))


def boot_twice(system: System, firmware: Path, number: int) -> tuple[float, ...]:
    """The seconds of a new machine's first and second boot."""
    found = []
    with contextlib.closing(Machine("bench", system.image, options=OPTIONS)) as machine:
        shutil.copyfile(firmware, machine.folder / "vars.fd")
        for boot in BOOTS:
            begun = time.monotonic()
            machine.power_on()
            system.wait(machine)
            found.append(time.monotonic() - begun)
            print(f"  run {number}: {system.name}, {boot}: {found[-1]:.1f} s", file=sys.stderr)
            if not machine.shut_down():
                raise machine.error("did not power off when its button was pressed")
    machine.disk.unlink()
    return tuple(found)


def compared(samples: Sequence[dict[str, tuple[float, ...]]], processor: str) -> list[Row]:
    """The rows of all runs: seconds of both systems, and their ratio within each run."""
    found = []
    for place, boot in enumerate(BOOTS):
        goni = [sample["Goni"][place] for sample in samples]
        debian = [sample["Debian"][place] for sample in samples]
        ratios = [ours / theirs for ours, theirs in zip(goni, debian, strict=True)]
        found += [
            measured(f"{boot}: Goni / Debian", ratios, "x", target=TARGET),
            measured(f"{boot}: Goni to setup page ({processor})", goni, "s"),
            measured(f"{boot}: Debian to multi-user ({processor})", debian, "s"),
        ]
    return found
