"""Context and slots follow memory and model; flags follow the known hazards."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import pytest

from goni_core.errors import GoniError, Unavailable
from goni_engine import plan as plans
from goni_engine.card import Card
from goni_engine.plan import Memory

GIB = 1 << 30
EIGHT_BILLION = Card(
    architecture="llama",
    kind="chat",
    name="8B",
    bytes=5 * GIB,
    context=131072,
    layers=32,
    width=4096,
    vocabulary=128_256,
    parameters=8_000_000_000,
    kv_bytes=131072,
)


def memory(available: float, total: float = 0) -> Memory:
    return Memory(int(available * GIB), int((total or available) * GIB))


def test_a_large_node_gives_four_people_long_contexts() -> None:
    plan = plans.fit(EIGHT_BILLION, memory(120, 128))
    assert (plan.slots, plan.context) == (4, 32768)


def test_less_memory_gives_shorter_contexts_then_fewer_slots() -> None:
    found = [plans.fit(EIGHT_BILLION, memory(size)) for size in (64, 24, 16, 12, 9)]
    sizes = [plan.slots * plan.context for plan in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    assert all(
        plan.needed < size * GIB for plan, size in zip(found, (64, 24, 16, 12, 9), strict=True)
    )


def test_context_never_exceeds_what_the_model_was_trained_on() -> None:
    short = dataclasses.replace(EIGHT_BILLION, context=2048)
    assert plans.fit(short, memory(120)).context == 2048


def test_a_model_that_cannot_fit_says_how_much_is_missing() -> None:
    with pytest.raises(Unavailable) as caught:
        plans.fit(EIGHT_BILLION, memory(4, 8))
    assert caught.value.code == "no_memory"
    needed = plans.working_memory(EIGHT_BILLION) + 5 * GIB + 512 * EIGHT_BILLION.kv_bytes
    missing = math.ceil((needed - 3 * GIB) / (1 << 20))
    assert f"{missing} MiB are missing" in caught.value.message


def test_just_enough_memory_is_enough() -> None:
    smallest = 512 * EIGHT_BILLION.kv_bytes + 5 * GIB + plans.working_memory(EIGHT_BILLION)
    total = 8 * GIB
    enough = Memory(smallest + plans.reserve(Memory(0, total)), total)
    assert plans.fit(EIGHT_BILLION, enough).needed == smallest
    with pytest.raises(Unavailable):
        plans.fit(EIGHT_BILLION, Memory(enough.available - 1, total))


def test_memory_is_read_from_the_kernels_own_words() -> None:
    text = "MemTotal:        8000 kB\nMemFree: 1 kB\nMemAvailable:    4000 kB\n"
    assert plans.memory_from(text) == Memory(4000 << 10, 8000 << 10)
    assert plans.memory_from(Path("/proc/meminfo").read_text()).total > 0
    with pytest.raises(GoniError):
        plans.memory_from("MemTotal: much\n")


def test_the_flags_keep_every_slot_to_itself() -> None:
    plan = plans.Plan(slots=4, context=8192, needed=0)
    flags = plans.arguments(
        plan, Path("/m/a.gguf"), "a", Path("/r/engine.sock"), threads=8, gpu=False
    )
    following = dict(itertools.pairwise(flags))
    assert following["--cache-ram"] == "0"
    assert following["--ctx-size"] == str(4 * 8192)
    assert following["--parallel"] == "4"
    assert following["--threads"] == "8"
    assert following["--log-verbosity"] == "1"
    assert {
        "--no-kv-unified",
        "--no-cache-idle-slots",
        "--no-slots",
        "--no-ui",
        "--offline",
    } <= set(flags)
    assert "--sleep-idle-seconds" not in flags


def test_weights_are_copied_to_a_gpu_and_mapped_on_the_cpu() -> None:
    plan = plans.Plan(slots=1, context=512, needed=0)
    for gpu, mode in ((True, "none"), (False, "mmap")):
        flags = plans.arguments(plan, Path("/a"), "a", Path("/s"), threads=2, gpu=gpu)
        assert flags[flags.index("--load-mode") + 1] == mode


SMALL = dataclasses.replace(EIGHT_BILLION, bytes=GIB, context=8192)


def test_as_few_models_go_as_give_a_comfortable_plan() -> None:
    loaded = [("old", 5 * GIB), ("newer", 4 * GIB), ("newest", 4 * GIB)]
    plan, gone = plans.choose(SMALL, memory(16, 32), loaded)
    assert (plan.slots, plan.context) == (4, 8192)
    assert gone == ()
    plan, gone = plans.choose(SMALL, memory(5, 32), loaded)
    assert plan.slots * plan.context >= 2 * 8192
    assert gone == ("old",)


def test_what_cannot_fit_without_all_of_them_is_not_tried() -> None:
    with pytest.raises(Unavailable) as caught:
        plans.choose(EIGHT_BILLION, memory(1, 8), [("a", GIB), ("b", GIB)])
    assert "MiB are missing" in caught.value.message
    plan, gone = plans.choose(EIGHT_BILLION, memory(1, 8), [("a", 4 * GIB), ("b", 4 * GIB)])
    assert plan.needed <= 8 * GIB
    assert gone == ("a", "b")


def test_a_reranker_reads_a_passage_in_one_batch() -> None:
    ranker = dataclasses.replace(SMALL, kind="rerank")
    plan = plans.fit(ranker, memory(16, 32))
    assert (plan.slots, plan.context) == (4, 2048)
    flags = plans.arguments(plan, Path("/a"), "a", Path("/s"), threads=2, gpu=False, rerank=True)
    assert "--rerank" in flags
    for name in ("--batch-size", "--ubatch-size"):
        assert flags[flags.index(name) + 1] == "2048"
