"""A disk's partition table as sfdisk(8) tells and changes it, and what of Goni there is in it.

A slot is three partitions: /usr, its hash tree, the tree's signature. Their types are those of the
Discoverable Partitions Specification for x86-64.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goni_core.errors import GoniError
from goni_core.run import run

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
USR = "8484680c-9521-48c6-9c11-b0720656f69e"
VERITY = "77ff5f63-e7b6-4633-acf4-1565b864c0e6"
SIGNATURE = "e7bb33fb-06cf-4e81-8273-e543b413e2e2"
ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
SECONDS = 60
VERSION = re.compile(r"goni_([0-9][0-9.]{0,29})")


@dataclass(frozen=True)
class Partition:
    """``number`` counts from 1; ``start`` and ``size`` are in sectors; types and UUIDs in lower
    case.
    """

    node: Path
    number: int
    start: int
    size: int
    type: str
    uuid: str
    label: str


@dataclass(frozen=True)
class Slot:
    """The three partitions of one version."""

    signature: Partition
    verity: Partition
    usr: Partition


@dataclass(frozen=True)
class Table:
    """A GPT."""

    partitions: tuple[Partition, ...]

    def of(self, kind: str) -> list[Partition]:
        """The partitions of the type ``kind``, in their order on the disk."""
        return sorted((one for one in self.partitions if one.type == kind), key=lambda p: p.start)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Slot A, and B once it was made."""
        parts = zip(self.of(SIGNATURE), self.of(VERITY), self.of(USR), strict=False)
        return tuple(Slot(*three) for three in parts)

    @property
    def versions(self) -> tuple[str, ...]:
        """Which versions of Goni its slots hold, by their labels."""
        found = (VERSION.fullmatch(slot.usr.label) for slot in self.slots)
        return tuple(one[1] for one in found if one)

    @property
    def is_goni(self) -> bool:
        return bool(self.of(ESP) and self.versions)

    @property
    def has_data(self) -> bool:
        """Whether it is a Goni whose data could be kept."""
        return self.is_goni and any(one.label == "root" for one in self.of(ROOT))


NOTHING = Table(())


def read(disk: Path) -> Table:
    """The table of ``disk``; :data:`NOTHING` where there is no GPT."""
    done = run(["sfdisk", "--json", disk], timeout=SECONDS, check=False)
    return parse(done.stdout) if done.returncode == 0 else NOTHING


def parse(said: bytes) -> Table:
    """The table in what ``sfdisk --json`` printed."""
    try:
        table = json.loads(said)["partitiontable"]
        if table["label"] != "gpt":
            return NOTHING
        return Table(tuple(_partition(one) for one in table.get("partitions", ())))
    except (ValueError, KeyError, TypeError) as error:
        raise GoniError("sfdisk's list of partitions can't be read") from error


def _partition(one: dict[str, Any]) -> Partition:
    node = str(one["node"])
    number = re.search(r"\d+$", node)
    if not number:
        raise ValueError(node)
    return Partition(
        Path(node),
        int(number[0]),
        int(one["start"]),
        int(one["size"]),
        str(one["type"]).lower(),
        str(one.get("uuid", "")).lower(),
        str(one.get("name", "")),
    )


def rename(disk: Path, partition: Partition, *, label: str, uuid: str = "") -> None:
    """Give a partition of a disk that nothing uses another label, and another UUID."""
    number = str(partition.number)
    run(["sfdisk", "--part-label", disk, number, label], timeout=SECONDS)
    if uuid:
        run(["sfdisk", "--part-uuid", disk, number, uuid], timeout=SECONDS)


def settle() -> None:
    """Wait until udev has seen what was done to disks."""
    run(["udevadm", "settle", "--timeout=60"], timeout=90, check=False)
