"""Loads one model: starts its llama-server, tests what it computes, sets a watchdog on it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from pathlib import Path

from goni_core.errors import GoniError
from goni_engine import device, selftest, watchdog
from goni_engine import plan as plans
from goni_engine.beside import Beside
from goni_engine.card import CHAT, RERANK
from goni_engine.device import Devices
from goni_engine.instance import Instance
from goni_engine.llama_server import LlamaServer, LoadFailed
from goni_engine.plan import Plan
from goni_engine.seats import Seats
from goni_engine.store import Entry
from goni_engine.verdicts import Verdicts
from goni_engine.watchdog import Watchdog

log = logging.getLogger(__name__)

LOAD_S, LOAD_RATE = 120.0, 50 << 20
"""A load may take this many seconds, and one more for each so many bytes."""


class Loader:
    """Starts llama-servers. ``folder`` (private to this process) takes their sockets; ``verdicts``
    keeps what the self-tests find.
    """

    def __init__(self, program: Path, folder: Path, devices: Devices, verdicts: Verdicts) -> None:
        self._program = program
        self._folder = folder
        self._devices = devices
        self.verdicts = verdicts

    def own_memory(self) -> int:
        """Bytes that are free now on GPUs with memory of their own; takes a second on such."""
        return device.probe(self._program).own_memory if self._devices.separate else 0

    async def load(self, entry: Entry, plan: Plan) -> Instance:
        """``entry`` loaded and tested; :class:`LoadFailed` when it can't be or must not be used."""
        started = time.monotonic()
        server = await self._start_guessing(entry, plan)
        try:
            patience_s = await self._test(entry, plan, server)
        except BaseException:
            await server.stop()
            raise
        seats = Seats(plan.slots)
        watching = Watchdog(entry.id, server, patience_s, seats.close)
        log.info(
            "loaded %s in %.1f s: %d slots of %d tokens",
            entry.id,
            time.monotonic() - started,
            plan.slots,
            plan.context,
        )
        return Instance(entry, plan, server, seats, watching, gpu=bool(self._devices.gpus))

    async def _start_guessing(self, entry: Entry, plan: Plan) -> LlamaServer:
        """The server; without guesses when it doesn't start with them, as they only save time."""
        try:
            return await self._start(entry, plan, entry.beside)
        except LoadFailed as error:
            if not entry.beside.guesses or error.code == "load_killed":
                raise
            log.warning("%s is loaded without guesses: %s", entry.id, error.message)
            return await self._start(entry, plan, entry.beside.without_guesses)

    async def _start(self, entry: Entry, plan: Plan, beside: Beside) -> LlamaServer:
        folder = self._folder / secrets.token_hex(4)
        socket = folder / "engine.sock"
        arguments = plans.arguments(
            plan,
            entry.path,
            entry.id,
            socket,
            threads=self._devices.cores,
            gpu=bool(self._devices.gpus),
            rerank=entry.kind == RERANK,
            beside=beside.arguments,
        )
        timeout = LOAD_S + entry.bytes / LOAD_RATE
        return await LlamaServer.start(self._program, arguments, folder, socket, timeout=timeout)

    async def _test(self, entry: Entry, plan: Plan, server: LlamaServer) -> float:
        """Run the self-test; how long a step of this model may take, in seconds."""
        if entry.kind != CHAT:
            return watchdog.patience(plan.context, 0)
        try:
            async with asyncio.timeout(selftest.LONGEST_S):
                result = await selftest.examine(
                    server.service, plan.slots, guesses=entry.beside.guesses
                )
        except selftest.Failed as error:
            await asyncio.to_thread(self.verdicts.note, entry, False, error.message)
            raise LoadFailed(f"the self-test failed: {error.message}") from error
        except TimeoutError as error:
            raise LoadFailed("the self-test took too long") from error
        except GoniError as error:
            code = "load_killed" if not server.alive else ""
            raise LoadFailed("the engine stopped during the self-test", code=code) from error
        await asyncio.to_thread(self.verdicts.note, entry, True, result.words)
        return watchdog.patience(plans.BATCH, result.speed)
