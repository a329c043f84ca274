"""What the engine computes on, in words for the person.

llama-server itself is asked, once: it is what will compute. A label or a driver's presence says
nothing (FACTS: llama-bench says "Vulkan" without any device).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from goni_core import run

_LINE = re.compile(r"^  (?P<id>\w+): (?P<name>.+) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)$")

CPUS = Path("/sys/devices/system/cpu")
CARDS = Path("/sys/class/drm")

ENVIRONMENT = {"GGML_NO_BACKTRACE": "1"}
"""For every llama.cpp process: no debugger is started when it fails."""


@dataclass(frozen=True)
class Device:
    """A GPU that llama.cpp can use; ``memory`` in MiB, and how much of it was free."""

    id: str
    name: str
    memory: int
    free: int


@dataclass(frozen=True)
class Devices:
    """All GPUs, and how many cores the CPU has for us. ``separate``: the GPUs have memory of their
    own; otherwise what they take is main memory, as on the reference box.
    """

    gpus: tuple[Device, ...]
    cores: int
    separate: bool = False

    @property
    def own_memory(self) -> int:
        """Bytes that are free beside the main memory."""
        return sum(gpu.free for gpu in self.gpus) << 20 if self.separate else 0

    @property
    def words(self) -> str:
        if not self.gpus:
            return "running on the CPU: about 10 times slower than a GPU"
        return "running on " + ", ".join(f"{gpu.name} ({gpu.memory} MiB)" for gpu in self.gpus)


def probe(program: Path) -> Devices:
    """Ask llama-server at ``program``; takes up to a minute where a GPU driver starts slowly."""
    listed = run.run([program, "--list-devices"], timeout=60, env=ENVIRONMENT)
    gpus = gpus_in(listed.text)
    return Devices(gpus, cores(), separate(gpus))


def separate(gpus: tuple[Device, ...], cards: Path = CARDS) -> bool:
    """Whether the kernel says that the GPUs' memory is on the cards (amdgpu's mem_info_vram_total,
    https://docs.kernel.org/gpu/amdgpu/driver-misc.html). Where it says nothing it is taken for
    main memory: counting that twice would end in a killed process.
    """
    on_cards = 0
    for file in cards.glob("card*/device/mem_info_vram_total"):
        try:
            on_cards += int(file.read_text())
        except (OSError, ValueError):
            continue
    listed = sum(gpu.memory for gpu in gpus) << 20
    return listed > 0 and on_cards >= 0.9 * listed


def cores(cpus: Path = CPUS) -> int:
    """Physical cores this process may run on: two threads of one core only get in each other's
    way.
    """
    allowed = os.sched_getaffinity(0)
    siblings = set()
    for number in allowed:
        try:
            siblings.add((cpus / f"cpu{number}/topology/core_cpus_list").read_text())
        except OSError:
            siblings.add(str(number))
    return len(siblings)


def gpus_in(listing: str) -> tuple[Device, ...]:
    """The devices in the output of ``llama-server --list-devices``, RPC servers left out."""
    found = (_LINE.match(line) for line in listing.splitlines())
    return tuple(
        Device(match["id"], match["name"], int(match["total"]), int(match["free"]))
        for match in found
        if match and not match["id"].startswith("RPC")
    )
