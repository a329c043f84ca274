"""What waiting costs: the gateway's memory while many people's streams are open and nothing comes.

An idle event stream is a streamed question that was asked over TLS and is not being answered now:
the engine's slots are taken by longer answers, so it waits, in the gateway or behind it, and holds
all that the gateway keeps for one. The few that are being answered count as well.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rows import Row, measured
from tests.bench.speed import prompts
from tests.bench.streams import Answer, Line, Peer

STREAMS = 200
TARGET = 150_000_000
TOKENS = 3500
"""Longer than anybody waits here."""
LATEST_S = 60.0
CALM_S = 3.0
"""Seconds after the last question until memory is looked at."""


@dataclass(frozen=True)
class Memory:
    """A process's memory in bytes: all that it maps, and its fair share of what it shares."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """What the kernel says of ``pid`` (proc_pid_smaps(5))."""
    return memory_in(Path(f"/proc/{pid}/smaps_rollup").read_text())


def memory_in(rollup: str) -> Memory:
    sizes = {name: int(kib) << 10 for name, kib in re.findall(r"^(\w+): +(\d+) kB", rollup, re.M)}
    return Memory(sizes["Rss"], sizes["Pss"])


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += str(link.readlink()).startswith("socket:")
        except OSError:  # closed meanwhile
            continue
    return found


async def measure(pid: int, doors: Sequence[Peer]) -> tuple[Memory, Memory, int]:
    """The gateway's (``pid``) memory before and with :data:`STREAMS` streams, and how many of
    them it held.
    """
    before = memory(pid)
    asked = prompts(4)
    lines = [Line(doors[place % len(doors)]) for place in range(STREAMS)]
    tasks: list[asyncio.Task[Answer]] = []
    try:
        for line in lines:
            await line.open()
            tasks.append(asyncio.create_task(line.ask(next(asked), TOKENS)))
        await _calm(pid)
        held = sum(not task.done() for task in tasks)
        return before, memory(pid), held
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in lines:
            await line.close()


async def _calm(pid: int) -> None:
    """Until the gateway opens no more sockets, so that every question has come as far as it can."""
    waited, before = 0.0, -1
    while waited < LATEST_S and (now := sockets(pid)) != before:
        before = now
        await asyncio.sleep(CALM_S)
        waited += CALM_S


def rows(before: Memory, during: Memory, held: int) -> list[Row]:
    """The total against the target, and what it grew by."""
    figure = f"gateway memory at {STREAMS} idle event streams"
    return [
        measured(f"{figure} (RSS)", [during.rss], "bytes", target=TARGET),
        measured(f"{figure} (PSS)", [during.pss], "bytes"),
        measured("gateway memory without any (RSS)", [before.rss], "bytes"),
        measured("gateway memory for each stream", [(during.rss - before.rss) / STREAMS], "bytes"),
        measured("idle event streams held", [held], "streams", target=STREAMS, floor=True),
    ]
