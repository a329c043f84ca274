"""Several models share the memory: who stays, who goes, and what is never tried."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from goni_core import paths
from goni_core.errors import Unavailable
from goni_engine import plan as plans
from goni_engine import store
from goni_engine.device import Devices
from goni_engine.instance import Instance
from goni_engine.loader import Loader
from goni_engine.plan import Memory, Plan
from goni_engine.store import Entry
from goni_engine.supervisor import Supervisor
from goni_engine.verdicts import Verdicts
from tests.integration.engine_node import check_built
from tests.models import write_tiny_chat_model

TOTAL = 4 << 30


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Entry]:
    folder = tmp_path_factory.mktemp("gguf")
    first = write_tiny_chat_model(folder / "a.gguf", context=4096)
    for name in "bc":
        shutil.copy(first, folder / f"{name}.gguf")
    return {name: store.inspect(folder / f"{name}.gguf") for name in "abc"}


class Scarce:
    """A machine on which ``room`` bytes are left beside what the models were promised."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.supervisor: Supervisor | None = None

    def __call__(self) -> Memory:
        # The models' own memory is taken off here as the kernel would: what they really took.
        assert self.supervisor
        taken = sum(
            instance.plan.needed - instance.pending
            for instance in self.supervisor._instances.values()
        )
        return Memory(self.room + plans.reserve(Memory(0, TOTAL)) - taken, TOTAL)


@asynccontextmanager
async def supervising(room: int, kind: type[Loader] = Loader) -> AsyncIterator[Supervisor]:
    check_built()
    folder = Path(tempfile.mkdtemp(prefix="goni-room-"))
    memory = Scarce(room)
    verdicts = Verdicts(folder / "selftests.json")
    loader = kind(paths.engine_dir() / "bin/llama-server", folder, Devices((), 2), verdicts)
    supervisor = memory.supervisor = Supervisor(loader, memory)
    try:
        yield supervisor
    finally:
        await supervisor.close()
        shutil.rmtree(folder)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


async def use(supervisor: Supervisor, entry: Entry) -> None:
    async with supervisor.lease(entry) as instance:
        assert instance.server.alive


def loaded(supervisor: Supervisor) -> set[str]:
    return {stats.id for stats in supervisor.stats()}


def room_for(entry: Entry, models: float) -> int:
    """Bytes for so many models with comfortable plans, which take half of what is free each."""
    card = entry.usable_card()
    cache = 4 * card.context * card.kv_bytes
    return int(models * (card.bytes + plans.working_memory(card) + cache)) + cache


def test_the_least_lately_used_model_makes_room(entries: dict[str, Entry]) -> None:
    async def scenario() -> None:
        async with supervising(room_for(entries["a"], 2.0)) as supervisor:
            for name in ("a", "b", "a"):
                await use(supervisor, entries[name])
            assert loaded(supervisor) == {"a", "b"}
            await use(supervisor, entries["c"])
            assert loaded(supervisor) == {"a", "c"}

    run(scenario)


def test_a_busy_model_is_waited_for_and_newcomers_queue_behind(entries: dict[str, Entry]) -> None:
    async def scenario() -> None:
        async with supervising(room_for(entries["a"], 1.0)) as supervisor:
            async with supervisor.lease(entries["a"]) as busy:
                other = asyncio.create_task(use(supervisor, entries["b"]))
                await asyncio.sleep(0.3)
                late = asyncio.create_task(use(supervisor, entries["a"]))
                await asyncio.sleep(0.3)
                assert not other.done()
                assert not late.done()
                assert busy.server.alive
            await other
            assert not busy.server.alive
            await late
            assert loaded(supervisor) == {"a"}

    run(scenario)


def test_what_can_never_fit_unloads_nothing_and_says_how_much_is_missing(
    entries: dict[str, Entry],
) -> None:
    async def scenario() -> None:
        card = dataclasses.replace(entries["b"].usable_card(), bytes=TOTAL)
        huge = dataclasses.replace(entries["b"], card=card)
        async with supervising(room_for(entries["a"], 1.0)) as supervisor:
            await use(supervisor, entries["a"])
            with pytest.raises(Unavailable, match=r"\d+ MiB are missing") as caught:
                await use(supervisor, huge)
            assert caught.value.code == "no_memory"
            assert loaded(supervisor) == {"a"}

    run(scenario)


def test_memory_that_is_promised_but_not_taken_is_not_given_twice(
    entries: dict[str, Entry],
) -> None:
    async def scenario() -> None:
        async with (
            supervising(room_for(entries["a"], 2.0)) as supervisor,
            supervisor.lease(entries["a"]) as instance,
        ):
            # The file is mapped, which the kernel counts as available.
            assert instance.pending >= entries["a"].bytes // 2
            assert instance.pending < instance.plan.needed
            assert instance.size >= instance.plan.needed

    run(scenario)


class Slow(Loader):
    """Takes for ever over the model "a", of which it says that it has begun."""

    begun = asyncio.Event()

    async def load(self, entry: Entry, plan: Plan) -> Instance:
        if entry.id == "a":
            self.begun.set()
            await asyncio.Event().wait()
        return await super().load(entry, plan)


def test_a_test_in_the_background_gives_way_to_a_person(entries: dict[str, Entry]) -> None:
    async def scenario() -> None:
        async with supervising(room_for(entries["a"], 3.0), Slow) as supervisor:
            testing = asyncio.create_task(supervisor.examine(entries["a"]))
            await asyncio.wait_for(Slow.begun.wait(), 60)
            await asyncio.wait_for(use(supervisor, entries["b"]), 60)
            with pytest.raises(Unavailable) as ended:
                await testing
            assert ended.value.code == "gave_way"
            assert loaded(supervisor) == {"b"}

    run(scenario)


def test_a_test_in_the_background_sends_nobody_away_and_leaves_no_trace(
    entries: dict[str, Entry],
) -> None:
    async def scenario() -> None:
        async with supervising(room_for(entries["a"], 1.0)) as supervisor:
            await use(supervisor, entries["a"])
            assert not await supervisor.examine(entries["b"])
            assert loaded(supervisor) == {"a"}
        async with supervising(room_for(entries["a"], 2.0)) as supervisor:
            assert await supervisor.examine(entries["b"])
            assert loaded(supervisor) == set()
            person = asyncio.create_task(use(supervisor, entries["b"]))
            assert await supervisor.examine(entries["b"])
            await person
            assert loaded(supervisor) == {"b"}

    run(scenario)
