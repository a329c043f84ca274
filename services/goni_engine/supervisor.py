"""Which models are loaded, and who uses them: loads on demand, makes room, restarts after a crash.

As many are loaded as memory takes; what was used last stays. A caller leases a loaded model and
holds it for the length of its request, so that nothing is unloaded under it. One lock orders all
loads, first come, first served; who finds the model loaded needs no lock, unless the model is to
make room for another: then newcomers queue behind that load, or it would never get its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from goni_core.contract import ModelStats
from goni_core.errors import Unavailable
from goni_engine import plan as plans
from goni_engine.crashes import Crashes
from goni_engine.instance import Instance
from goni_engine.llama_server import LoadFailed
from goni_engine.loader import Loader
from goni_engine.plan import Memory, Plan
from goni_engine.store import Entry, gone

log = logging.getLogger(__name__)

BUSY_S = 300.0
"""Seconds that a request for another model waits for the loaded ones' answers to end."""


class Supervisor:
    """All llama-servers of this node; ``memory`` tells what there is of it."""

    def __init__(self, loader: Loader, memory: Callable[[], Memory] = plans.measured) -> None:
        self._loader = loader
        self._memory = memory
        self._instances: dict[str, Instance] = {}
        self._unusable: dict[str, str] = {}
        self._crashes = Crashes()
        self._lock = asyncio.Lock()
        self._loading: tuple[str, asyncio.Task[Instance]] | None = None
        self._released = asyncio.Event()
        self._examining = ""
        self._used = time.monotonic()

    @contextlib.asynccontextmanager
    async def lease(self, entry: Entry) -> AsyncIterator[Instance]:
        """``entry``'s loaded model for the length of the block; it is loaded if need be.

        Raises :class:`Unavailable` when it can't be loaded now, or never (``model_unusable``).
        """
        instance = self.loaded(entry.id)
        if instance is None or instance.leaving or instance.outdated(entry):
            self._make_way(entry.id)
            instance = await self._ready(entry)
        instance.users += 1
        instance.leases += 1
        try:
            yield instance
        finally:
            instance.users -= 1
            instance.used = self._used = time.monotonic()
            self._released.set()

    async def examine(self, entry: Entry) -> bool:
        """Load ``entry`` for its self-test, and unload it unless somebody came to use it; False
        when there is no room without sending another model away.

        Raises what :meth:`lease` does; :class:`Unavailable` (``gave_way``) when somebody wanted
        another model meanwhile.
        """
        memory = await asyncio.to_thread(self._free)
        try:
            plans.choose(entry.usable_card(), memory, [])
        except Unavailable:
            return False
        self._examining = entry.id
        try:
            async with self.lease(entry):
                pass
        finally:
            self._examining = ""
        async with self._lock:
            await self._settle()
            instance = self.loaded(entry.id)
            if instance and not instance.users and instance.leases == 1:
                await self._stop(entry.id)
        return True

    def quiet_s(self) -> float:
        """Seconds since a model was last used; 0 while one is used or loaded."""
        users = any(instance.users for instance in self._instances.values())
        return 0.0 if users or self._lock.locked() else time.monotonic() - self._used

    def state(self, model: str) -> tuple[str, str]:
        """A model's state as in ``contract.Model``, and the reason when it is unusable."""
        if model in self._unusable:
            return "unusable", self._unusable[model]
        if self._loading and self._loading[0] == model and not self._loading[1].done():
            return "loading", ""
        return ("loaded" if self.loaded(model) else "available"), ""

    def loaded(self, model: str) -> Instance | None:
        """The model's instance if it runs."""
        instance = self._instances.get(model)
        return instance if instance and instance.server.alive else None

    def stats(self) -> list[ModelStats]:
        """Figures of every loaded model."""
        running = (self.loaded(model) for model in sorted(self._instances))
        return [instance.stats() for instance in running if instance]

    async def forget(self, model: str) -> None:
        """Stop the model, whatever runs on it, and forget what is known of it."""
        async with self._lock:
            await self._settle()
            await self._stop(model)
            self._unusable.pop(model, None)
            self._crashes.forget(model)
            await asyncio.to_thread(self._loader.verdicts.forget, model)

    async def close(self) -> None:
        """Stop everything."""
        if self._loading:
            self._loading[1].cancel()
            await self._settle()
        for model in list(self._instances):
            await self._stop(model)

    async def _ready(self, entry: Entry) -> Instance:
        async with self._lock:
            await self._settle()
            instance = self.loaded(entry.id)
            if instance is not None and instance.outdated(entry):
                await self._stop(entry.id)
                instance = None
            if instance is None:
                await self._check(entry)
                plan = await self._room(entry)
                # Shielded: a caller who hangs up doesn't undo a load that others wait for.
                task = asyncio.create_task(self._load(entry, plan))
                self._loading = (entry.id, task)
                instance = await self._loaded_by(task)
                self._loading = None
            return instance

    async def _loaded_by(self, task: asyncio.Task[Instance]) -> Instance:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if task.cancelled() and not (me and me.cancelling()):
                raise Unavailable("somebody wanted another model", code="gave_way") from None
            raise

    def _make_way(self, model: str) -> None:
        """End the load of a model that is only to be tested, when somebody wants another one."""
        if self._loading and self._loading[0] == self._examining != model:
            self._loading[1].cancel()

    async def _settle(self) -> None:
        """Wait for a load whose caller has gone, and bury instances that ended by themselves."""
        if self._loading:
            await asyncio.wait([self._loading[1]])
            if not self._loading[1].cancelled():
                self._loading[1].exception()  # was told to its caller, or nobody is left to hear
            self._loading = None
        for model, instance in list(self._instances.items()):
            if not instance.server.alive:
                self._crashes.note(model, instance)
                await self._stop(model)

    async def _check(self, entry: Entry) -> None:
        if not await asyncio.to_thread(entry.path.exists):
            raise gone()
        if entry.id in self._unusable:
            raise _unusable(self._unusable[entry.id])
        await asyncio.sleep(self._crashes.left(entry.id))

    async def _room(self, entry: Entry) -> Plan:
        """A plan for ``entry`` for which there is memory, once others have made room for it.

        Raises :class:`Unavailable`: ``no_memory`` when there is too little even without the others,
        which then stay; ``engine_busy`` when they don't stop answering.
        """
        card = entry.usable_card()
        deadline = time.monotonic() + BUSY_S
        try:
            while True:
                memory = await asyncio.to_thread(self._free)
                idle, busy = self._others()
                try:
                    plan, victims = plans.choose(card, memory, idle)
                except Unavailable as error:
                    _, leaving = plans.choose(card, memory, [*idle, *busy])
                    for model in leaving:
                        self._instances[model].leaving = True
                    await self._wait_for_release(deadline, error)
                    continue
                if not victims:
                    return plan
                # Off the list at once: while one stops, nobody may lease the next.
                for instance in [self._instances.pop(model) for model in victims]:
                    await instance.stop()
                    log.info("unloaded %s to make room", instance.entry.id)
        finally:
            for instance in self._instances.values():
                instance.leaving = False

    def _others(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Ids and sizes of what is loaded, idle and busy, the least lately used first."""
        order = sorted(self._instances.items(), key=lambda item: item[1].used)
        idle = [(model, instance.size) for model, instance in order if not instance.users]
        busy = [(model, instance.size) for model, instance in order if instance.users]
        return idle, busy

    def _free(self) -> Memory:
        """What can still be given: main memory, without what is promised to loaded models and not
        yet taken, and the GPUs' own.
        """
        memory = self._memory()
        pending = sum(instance.pending for instance in self._instances.values())
        own = self._loader.own_memory()
        return replace(memory, available=memory.available - pending + own)

    async def _wait_for_release(self, deadline: float, error: Unavailable) -> None:
        self._released.clear()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await self._released.wait()
        except TimeoutError as late:
            raise Unavailable(
                f"other models are still answering; {error.message}",
                hint="try again in a moment, or use a model that is loaded",
                code="engine_busy",
            ) from late

    async def _stop(self, model: str) -> None:
        instance = self._instances.pop(model, None)
        if instance:
            await instance.stop()
            log.info("unloaded %s", model)

    async def _load(self, entry: Entry, plan: Plan) -> Instance:
        try:
            instance = await self._loader.load(entry, plan)
        except LoadFailed as error:
            raise self._failed(entry.id, error) from error
        self._instances[entry.id] = instance
        return instance

    def _failed(self, model: str, error: LoadFailed) -> Unavailable:
        log.error("%s could not be loaded: %s", model, error.message)
        if error.code == "load_killed":
            return Unavailable(
                error.message, hint="there may be too little memory", code="load_killed"
            )
        self._unusable[model] = error.message
        return _unusable(error.message)


def _unusable(reason: str) -> Unavailable:
    return Unavailable(
        f"this model can't be used: {reason}",
        hint="choose another model, or bring this one in again",
        code="model_unusable",
    )
