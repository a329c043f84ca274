"""The two slots as the boot loader sees them: UKIs in the ESP and their try counters.

systemd-boot counts in the file name: ``goni_0.2.0_x86-64+3.efi`` has three tries left,
``...+1-2.efi`` one left and two used, ``...+0-3.efi`` is given up, and none of that means good
(https://uapi-group.org/specifications/specs/boot_loader_specification/#boot-counting). systemd
257's sysupdate calls a given-up version current, so the counters are read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from goni_core import fields
from goni_core.errors import BadInput, Conflict
from goni_update import version
from goni_update.version import Version

GOOD, TRIAL, FAILED = "good", "trial", "failed"
_NAME = re.compile(
    r"goni_(?P<version>[0-9.]{1,30})_x86-64(\+(?P<left>\d{1,3})(-(?P<done>\d{1,3}))?)?\.efi"
)


@dataclass(frozen=True)
class Slot:
    """A version with a UKI. ``state``: good, trial (tries are counted) or failed (none is left)."""

    version: Version
    file: str
    state: str
    left: int = 0


@dataclass(frozen=True)
class Slots:
    """All versions that could be booted, newest first, and the one that runs."""

    running: Version
    slots: tuple[Slot, ...]

    @property
    def other(self) -> Slot | None:
        """The slot that doesn't run."""
        return next((slot for slot in self.slots if slot.version != self.running), None)

    def of(self, number: Version) -> Slot | None:
        return next((slot for slot in self.slots if slot.version == number), None)

    def plain(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "running": str(self.running),
            "slots": [
                {
                    "version": str(one.version),
                    "file": one.file,
                    "state": one.state,
                    "left": one.left,
                }
                for one in self.slots
            ],
        }


def read(names: Iterable[str], running: Version) -> Slots:
    """The slots from the file names in the ESP's folder; foreign ones are left out."""
    found = [slot for name in names if (slot := _slot(name))]
    return Slots(running, tuple(sorted(found, key=lambda slot: slot.version, reverse=True)))


def parse(data: bytes) -> Slots:
    """What :meth:`Slots.plain` says."""
    whole = fields.parse(data)
    listed = fields.objects(whole, "slots", most=100)
    return Slots(
        version.parse(fields.text(whole, "running")),
        tuple(slot for one in listed if (slot := _slot(fields.text(one, "file")))),
    )


def to_go_back_to(slots: Slots) -> Slot:
    """Where a rollback leads; :class:`Conflict` when that is nowhere good."""
    other = slots.other
    if other is None or other.state == FAILED:
        raise Conflict("there is no other version to go back to", code="no_other_version")
    return other


def _slot(name: str) -> Slot | None:
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        number = version.parse(found["version"])
    except BadInput:
        return None
    if found["left"] is None:
        return Slot(number, name, GOOD)
    left = int(found["left"])
    return Slot(number, name, TRIAL if left else FAILED, left)
