"""How much context and how many parallel answers a model gets on this node, and llama-server's
flags. Pure: memory and model in, plan out.

Each slot has a cache of its own (no unified cache): no slot's text is ever in another's reach, at
the price of dividing the memory beforehand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from goni_core.errors import GoniError, Unavailable
from goni_engine.card import RERANK, Card

LADDER = ((4, 32768), (4, 16384), (4, 8192), (2, 8192), (2, 4096), (1, 4096), (1, 2048), (1, 512))
"""Slots and tokens of context per slot, the best first. Four people at once come before contexts
that few requests fill."""
RANKING = ((4, 2048), (2, 2048), (2, 1024), (1, 1024), (1, 512))
"""The same for rerankers, which read a question and one passage at a time, all of it at once."""
COMFORTABLE = 3
"""Place in :data:`LADDER` down to which a plan is good enough to leave other models loaded."""
BATCH = 512
"""Tokens that llama.cpp computes at once (its default ``--ubatch-size``). ``--batch-size`` is the
same: between two batches other people's answers go on, and the watchdog sees progress."""
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


def measured() -> Memory:
    """This machine's memory now."""
    return memory_from(Path("/proc/meminfo").read_text())


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
    plans = [_plan(card, slots, context) for slots, context in _ladder(card)]
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


def choose(
    card: Card, memory: Memory, loaded: Sequence[tuple[str, int]]
) -> tuple[Plan, tuple[str, ...]]:
    """A plan for ``card``, and which of ``loaded`` (ids and bytes; the first may go first) have to
    be unloaded for it: as few as give a comfortable plan, or the best that all of them give.

    Raises :class:`Unavailable` as :func:`fit` when it would not even fit without all of them.
    """
    sizes = [0, *accumulate(size for _, size in loaded)]
    memories = [replace(memory, available=memory.available + size) for size in sizes]
    best = fit(card, memories[-1])
    for number, more in enumerate(memories):
        with contextlib.suppress(Unavailable):
            plan = fit(card, more)
            if _rank(card, plan) <= max(_rank(card, best), COMFORTABLE):
                return plan, tuple(model for model, _ in loaded[:number])
    raise AssertionError("unreachable: with all of them it fits")


def _rank(card: Card, plan: Plan) -> int:
    plans = [_plan(card, slots, context) for slots, context in _ladder(card)]
    return plans.index(plan)


def _ladder(card: Card) -> tuple[tuple[int, int], ...]:
    return RANKING if card.kind == RERANK else LADDER


def reserve(memory: Memory) -> int:
    """Bytes that stay with the system: an eighth, from 256 MiB to 16 GiB."""
    return min(max(memory.total // 8, 256 << 20), 16 << 30)


def working_memory(card: Card) -> int:
    """Bytes of llama.cpp's compute buffers: the output layer's over one batch dominate."""
    if card.kind == RERANK:
        return (64 << 20) + RANKING[0][1] * 4 * 64 * card.width
    return (64 << 20) + BATCH * 4 * (card.vocabulary + 16 * card.width)


def arguments(
    plan: Plan,
    path: Path,
    model: str,
    socket: Path,
    *,
    threads: int,
    gpu: bool,
    rerank: bool = False,
    beside: Sequence[str] = (),
) -> list[str]:
    """llama-server's arguments, without the program; ``model`` is what answers call it,
    ``beside`` the arguments for what lies beside it.
    """
    batch = plan.context if rerank else BATCH
    return [
        *("--model", str(path), "--alias", model, "--host", str(socket), "--offline", "--no-ui"),
        *("--parallel", str(plan.slots), "--ctx-size", str(plan.slots * plan.context)),
        *("--no-kv-unified", "--batch-size", str(batch), "--ubatch-size", str(batch)),
        *(("--rerank",) if rerank else ()),
        *beside,
        # Text kept outside its slot came back in other people's chats (llama.cpp #27148).
        *("--cache-ram", "0", "--no-cache-idle-slots", "--ctx-checkpoints", str(CHECKPOINTS)),
        *("--no-slots", "--metrics", "--jinja", "--flash-attn", "auto"),
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
