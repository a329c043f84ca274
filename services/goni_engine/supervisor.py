"""Which models are loaded, and who uses them: loads on demand, makes room, restarts after a crash.

One lock orders all loads, first come, first served; answers run outside it. A caller leases a
loaded model and holds it for the length of its request, so that nothing is unloaded under it.
Today one chat model at a time is loaded (:data:`LOADED`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from goni_core.errors import Unavailable
from goni_engine import plan as plans
from goni_engine.device import Devices
from goni_engine.llama_server import LlamaServer, LoadFailed
from goni_engine.plan import Plan
from goni_engine.store import Entry, gone

log = logging.getLogger(__name__)

LOADED = 1
"""Chat models that are loaded at the same time."""
BUSY_S = 300.0
"""Seconds that a request for another model waits for the loaded one's answers to end."""
CALM_S = 300.0
"""A model that ran this long without a crash starts its back-off anew."""
LOAD_S, LOAD_RATE = 120.0, 50 << 20
"""A load may take this many seconds, and one more for each so many bytes."""


@dataclass
class Instance:
    """A loaded model, and how many requests run on it."""

    entry: Entry
    plan: Plan
    server: LlamaServer
    users: int = 0
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Crash:
    """When a model's server last ended by itself, and how often in a row."""

    at: float
    times: int

    @property
    def pause(self) -> float:
        """Seconds to wait before the next start: 0.5, 1, 2 … 30."""
        return float(min(0.5 * 2 ** (self.times - 1), 30.0))


class Supervisor:
    """All llama-servers of this node. ``folder`` (private to this process) takes their sockets."""

    def __init__(self, program: Path, folder: Path, devices: Devices) -> None:
        self._program = program
        self._folder = folder
        self._devices = devices
        self._instances: dict[str, Instance] = {}
        self._unusable: dict[str, str] = {}
        self._crashes: dict[str, Crash] = {}
        self._lock = asyncio.Lock()
        self._loading: tuple[str, asyncio.Task[Instance]] | None = None
        self._released = asyncio.Event()

    @contextlib.asynccontextmanager
    async def lease(self, entry: Entry) -> AsyncIterator[Instance]:
        """``entry``'s loaded model for the length of the block; it is loaded if need be.

        Raises :class:`Unavailable` when it can't be loaded now, or never (``model_unusable``).
        """
        instance = await self._ready(entry)
        try:
            yield instance
        finally:
            instance.users -= 1
            self._released.set()

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

    async def forget(self, model: str) -> None:
        """Stop the model, whatever runs on it, and forget what is known of it."""
        async with self._lock:
            await self._settle()
            await self._stop(model)
            self._unusable.pop(model, None)
            self._crashes.pop(model, None)

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
            if instance is None:
                await self._check(entry)
                await self._make_room(entry.id)
                # Shielded: a caller who hangs up doesn't undo a load that others wait for.
                task = asyncio.create_task(self._load(entry))
                self._loading = (entry.id, task)
                instance = await asyncio.shield(task)
                self._loading = None
            instance.users += 1
            return instance

    async def _settle(self) -> None:
        """Wait for a load whose caller has gone, and bury instances that ended by themselves."""
        if self._loading:
            await asyncio.wait([self._loading[1]])
            if not self._loading[1].cancelled():
                self._loading[1].exception()  # was told to its caller, or nobody is left to hear
            self._loading = None
        for model, instance in list(self._instances.items()):
            if not instance.server.alive:
                self._note_crash(model, instance)
                await self._stop(model)

    def _note_crash(self, model: str, instance: Instance) -> None:
        now = time.monotonic()
        before = self._crashes.get(model)
        calm = before is None or now - instance.since > CALM_S
        self._crashes[model] = Crash(now, 1 if calm or before is None else before.times + 1)
        log.error("llama-server for %s ended by itself", model)

    async def _check(self, entry: Entry) -> None:
        if not await asyncio.to_thread(entry.path.exists):
            raise gone()
        if entry.id in self._unusable:
            raise Unavailable(
                f"this model can't be used: {self._unusable[entry.id]}",
                hint="choose another model, or bring this one in again",
                code="model_unusable",
            )
        crash = self._crashes.get(entry.id)
        if crash:
            await asyncio.sleep(max(0.0, crash.at + crash.pause - time.monotonic()))

    async def _make_room(self, wanted: str) -> None:
        others = [model for model in self._instances if model != wanted]
        for model in others[: len(others) + 1 - LOADED]:
            await self._wait_until_idle(model)
            await self._stop(model)

    async def _wait_until_idle(self, model: str) -> None:
        try:
            async with asyncio.timeout(BUSY_S):
                while (instance := self.loaded(model)) and instance.users:
                    self._released.clear()
                    await self._released.wait()
        except TimeoutError as error:
            raise Unavailable(
                "another model is still answering and there is room for one only",
                hint="try again in a moment, or use the model that is loaded",
                code="engine_busy",
            ) from error

    async def _stop(self, model: str) -> None:
        instance = self._instances.pop(model, None)
        if instance:
            await instance.server.stop()
            log.info("unloaded %s", model)

    async def _load(self, entry: Entry) -> Instance:
        meminfo = await asyncio.to_thread(Path("/proc/meminfo").read_text)
        plan = plans.fit(entry.usable_card(), plans.memory_from(meminfo))
        folder = self._folder / secrets.token_hex(4)
        socket = folder / "engine.sock"
        arguments = plans.arguments(
            plan,
            entry.path,
            entry.id,
            socket,
            threads=self._devices.cores,
            gpu=bool(self._devices.gpus),
        )
        started = time.monotonic()
        try:
            server = await LlamaServer.start(
                self._program,
                arguments,
                folder,
                socket,
                timeout=LOAD_S + entry.bytes / LOAD_RATE,
            )
        except LoadFailed as error:
            raise self._failed(entry.id, error) from error
        instance = Instance(entry, plan, server)
        self._instances[entry.id] = instance
        log.info(
            "loaded %s in %.1f s: %d slots of %d tokens",
            entry.id,
            time.monotonic() - started,
            plan.slots,
            plan.context,
        )
        return instance

    def _failed(self, model: str, error: LoadFailed) -> Unavailable:
        log.error("%s could not be loaded", model)
        if error.code == "load_killed":
            return Unavailable(
                error.message, hint="there may be too little memory", code="load_killed"
            )
        self._unusable[model] = error.message
        return Unavailable(
            f"this model can't be used: {error.message}",
            hint="choose another model, or bring this one in again",
            code="model_unusable",
        )
