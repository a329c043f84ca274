"""The engine's parts in one place: started in order, tested, stopped in the opposite order.

What fails at the start is said in :meth:`Engine.health` and does not stop the rest: a node without
embeddings still chats, and its page can say what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from pathlib import Path

from goni_core import contract, paths
from goni_core.contract import Check, Health, Model
from goni_core.errors import GoniError
from goni_engine import device, golden, verdicts
from goni_engine.card import EMBEDDING
from goni_engine.device import Devices
from goni_engine.embedder import Embedder
from goni_engine.incoming import Arrivals
from goni_engine.load import Loads
from goni_engine.loader import Loader
from goni_engine.retests import Retests
from goni_engine.sticks import Sticks
from goni_engine.store import Entry, Store
from goni_engine.supervisor import Supervisor
from goni_engine.verdicts import Verdicts

log = logging.getLogger(__name__)


class Engine:
    """Models, chat and embeddings of this node."""

    def __init__(self) -> None:
        self.program = paths.engine_dir() / "bin/llama-server"
        shipped = paths.models_dir() / contract.EMBEDDING_FILE
        cores = device.cores()
        self.store = Store(paths.state_dir("engine") / "models", shipped)
        self.arrivals = Arrivals(paths.state_dir("engine") / "incoming", self.store)
        self.sticks = Sticks(paths.run_dir() / "sticks", self.arrivals, self.came)
        # Half the cores: ggml's threads wait for each other by spinning, and all of them beside
        # a chat on the same cores were eight times slower than one. A command's own engine has no
        # chat beside it and says so.
        threads = int(os.environ.get("GONI_EMBEDDING_THREADS") or max(1, cores // 2))
        self.embedder = Embedder(paths.engine_dir() / "lib", shipped, threads)
        self.devices = Devices((), cores)
        self._loads = Loads()
        self._folder = Path()
        self._kept = paths.state_dir("engine") / "selftests.json"
        self._supervise()
        self._checks: tuple[Check, ...] = ()
        self._testing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find the models, load the embedding model, run the self-tests."""
        self._folder = Path(
            os.environ.get("RUNTIME_DIRECTORY") or tempfile.mkdtemp(prefix="goni-engine-")
        )
        await asyncio.to_thread(self.store.open)
        await asyncio.to_thread(self.arrivals.open)
        programs = await asyncio.to_thread(self._probe)
        kept = self._supervise()
        await asyncio.to_thread(kept.open)
        self._testing = asyncio.create_task(self.retests.run())
        self._checks = (programs, await self._test_embeddings())
        for check in self._checks:
            log.log(logging.INFO if check.ok else logging.ERROR, "%s: %s", check.name, check.detail)

    async def stop(self) -> None:
        """End every llama-server, free the embedding model."""
        if self._testing:
            self._testing.cancel()
            await asyncio.wait([self._testing])
        await self.sticks.close()
        await self.supervisor.close()
        await self.embedder.close()
        if not os.environ.get("RUNTIME_DIRECTORY"):
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def came(self, entry: Entry) -> None:
        """A model that failed to load gets another chance when its file is brought in again."""
        if self.supervisor.state(entry.id)[0] == "unusable":
            await self.supervisor.forget(entry.id)

    async def alive(self) -> bool:
        """For the watchdog: the embedding thread does not hang."""
        return self.embedder.alive

    def health(self) -> Health:
        """What the self-tests found, and what runs now."""
        checks = (*self._checks, self._device(), self._chat(), self.retests.check())
        ok = all(check.ok for check in checks)
        return Health("engine", ok, self.devices.words if ok else "", checks)

    async def load(self) -> contract.Load:
        """What the chat models can take on now."""
        return await self._loads.now(self.supervisor, self.store.all())

    def model(self, entry: Entry) -> Model:
        """The contract's view of a model; ``context`` is what a request can use once it is
        loaded, what the model was trained on before.
        """
        state, reason = self._state(entry)
        instance = self.supervisor.loaded(entry.id)
        trained = entry.card.context if entry.card else 0
        if entry.id == contract.EMBEDDING_MODEL:
            trained = contract.EMBEDDING_CONTEXT
        return Model(
            id=entry.id,
            kind=entry.kind,
            bytes=entry.bytes,
            context=instance.plan.context if instance else trained,
            architecture=entry.card.architecture if entry.card else "",
            state=state,
            reason=reason,
            slots=instance.plan.slots if instance else 0,
            pictures=entry.reads_pictures,
        )

    def _state(self, entry: Entry) -> tuple[str, str]:
        if entry.card is None:
            return "unusable", entry.reason
        if entry.kind == EMBEDDING:
            reason = self.embedder.reason
            return ("unusable", reason) if reason else ("loaded", "")
        return self.supervisor.state(entry.id)

    def _supervise(self) -> Verdicts:
        build = verdicts.build_of(paths.engine_dir(), self.devices)
        kept = Verdicts(self._kept, build)
        self.supervisor = Supervisor(Loader(self.program, self._folder, self.devices, kept))
        self.retests = Retests(self.supervisor, kept, self.store.all)
        return kept

    def _device(self) -> Check:
        """What it runs on, and how fast that came out with real answers."""
        speeds = [
            f"{stats.id} answers with {stats.tokens_per_second:.3g} tokens/s"
            for stats in self.supervisor.stats()
            if stats.tokens_per_second
        ]
        return Check("device", True, "; ".join([self.devices.words, *speeds]))

    def _probe(self) -> Check:
        try:
            self.devices = device.probe(self.program)
        except GoniError as error:
            return Check("programs", False, error.message)
        return Check("programs", True, "llama-server starts")

    async def _test_embeddings(self) -> Check:
        try:
            pairs = golden.load()
            await self.embedder.load()
            embedded = await self.embedder.embed([pair.text for pair in pairs])
        except GoniError as error:
            return Check("embedding numbers", False, error.message)
        return golden.compare(pairs, embedded.vectors)

    def _chat(self) -> Check:
        entries = [entry for entry in self.store.all() if entry.kind != EMBEDDING]
        states = [self._state(entry)[0] for entry in entries]
        words = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        return Check("chat models", True, words or "none yet")
