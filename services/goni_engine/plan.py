"""How much context and how many parallel answers a model gets on this node, and llama-server's
flags. Pure: memory and model in, plan out.

Each slot has a cache of its own (no unified cache): no slot's text is ever in another's reach, at
the price of dividing the memory beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import GoniError, Unavailable
from goni_engine.card import Card

LADDER = ((4, 32768), (4, 16384), (4, 8192), (2, 8192), (2, 4096), (1, 4096), (1, 2048), (1, 512))
"""Slots and tokens of context per slot, the best first. Four people at once come before contexts
that few requests fill."""
BATCH = 512
"""Tokens that llama.cpp computes at once (its default ``--ubatch-size``)."""
CHECKPOINTS = 4
"""Snapshots per slot that let models with a sliding window continue a chat; llama-server's default
of 32 would take memory that no plan knows of."""


@dataclass(frozen=True)
class Memory:
    """Bytes of main memory: what the kernel can still give, and all there is."""

    available: int
    total: int


@dataclass(frozen=True)
class Plan:
    """``slots`` parallel answers of ``context`` tokens each; ``needed`` is the memory in bytes."""

    slots: int
    context: int
    needed: int


def memory_from(meminfo: str) -> Memory:
    """Parse ``/proc/meminfo`` (proc_meminfo(5); its kB are KiB)."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    try:
        return Memory(
            available=int(fields["MemAvailable"].split()[0]) << 10,
            total=int(fields["MemTotal"].split()[0]) << 10,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise GoniError("/proc/meminfo does not say how much memory there is") from error


def fit(card: Card, memory: Memory) -> Plan:
    """The best plan that leaves half of the remaining memory free; a smaller one if it must be.

    Raises :class:`Unavailable` (``no_memory``), saying how much is missing, when not even the
    smallest fits.
    """
    free = memory.available - reserve(memory)
    plans = [_plan(card, slots, context) for slots, context in LADDER]
    fixed = card.bytes + working_memory(card)
    for plan in plans:
        if plan.needed - fixed <= (free - fixed) // 2:
            return plan
    smallest = plans[-1]
    if smallest.needed <= free:
        return smallest
    raise Unavailable(
        f"not enough memory for this model: it needs {_mib(smallest.needed)} MiB, "
        f"{_mib(max(0, free))} MiB can be used, {_mib(smallest.needed - free)} MiB are missing",
        hint="use a smaller model",
        code="no_memory",
    )


def reserve(memory: Memory) -> int:
    """Bytes that stay with the system: an eighth, from 256 MiB to 16 GiB."""
    return min(max(memory.total // 8, 256 << 20), 16 << 30)


def working_memory(card: Card) -> int:
    """Bytes of llama.cpp's compute buffers: the output layer's over one batch dominate."""
    return (64 << 20) + BATCH * 4 * (card.vocabulary + 16 * card.width)


def arguments(
    plan: Plan, path: Path, model: str, socket: Path, *, threads: int, gpu: bool
) -> list[str]:
    """llama-server's arguments, without the program; ``model`` is what answers call it."""
    return [
        *("--model", str(path), "--alias", model, "--host", str(socket), "--offline", "--no-ui"),
        *("--parallel", str(plan.slots), "--ctx-size", str(plan.slots * plan.context)),
        "--no-kv-unified",
        # Text kept outside its slot came back in other people's chats (llama.cpp #27148).
        *("--cache-ram", "0", "--no-cache-idle-slots", "--ctx-checkpoints", str(CHECKPOINTS)),
        *("--no-slots", "--jinja", "--flash-attn", "auto"),
        # With a GPU the weights are copied once; mapping the file too would only pin memory.
        *("--load-mode", "none" if gpu else "mmap", "--fit", "on" if gpu else "off"),
        *("--threads", str(threads), "--threads-http", str(plan.slots + 32)),
        # Errors only: warnings quote requests. What is left is filtered again, see llama_server.
        *("--log-verbosity", "1", "--log-colors", "off"),
    ]


def _plan(card: Card, slots: int, wanted: int) -> Plan:
    context = min(wanted, card.context)
    cache = slots * context * card.kv_bytes
    return Plan(slots, context, card.bytes + working_memory(card) + cache)


def _mib(size: int) -> int:
    return -(-size >> 20)
