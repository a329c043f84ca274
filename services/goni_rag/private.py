"""An engine of one's own for the time of a command: for its embeddings, on a socket in a folder
that nobody else can enter.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from goni_core import paths, run
from goni_core.errors import GoniError, Unavailable
from goni_core.http import Service

START_SECONDS = 120.0
STOP_SECONDS = 20.0


@asynccontextmanager
async def engine() -> AsyncIterator[Service]:
    """A client of a new engine, which ends with the block; :class:`GoniError` says why there is
    none.
    """
    with tempfile.TemporaryDirectory(prefix="goni-rag-") as name:
        folder = Path(name)
        process = run.start(
            [sys.executable, "-m", "goni_engine", "serve"],
            env=_environment(folder),
            output=folder / "log",
            own_session=True,
        )
        service = Service("the engine", folder / "run/engine.sock")
        try:
            await _ready(service, process, folder / "log")
            yield service
        finally:
            await service.close()
            await asyncio.to_thread(run.stop, process, patience=STOP_SECONDS)


def _environment(folder: Path) -> dict[str, str]:
    """The engine's places, and the cores that nobody else uses: it works for this command alone."""
    services = str(Path(__file__).resolve().parents[1])
    given = os.environ.get("PYTHONPATH")
    return {
        "GONI_RUN": str(folder / "run"),
        "GONI_STATE": str(folder / "state"),
        "GONI_EMBEDDING_THREADS": str(idle_cores()),
        "PYTHONPATH": f"{services}:{given}" if given else services,
        "STATE_DIRECTORY": "",
        "RUNTIME_DIRECTORY": "",
    }


def idle_cores() -> int:
    """Cores without work, at least half of all: threads that wait for each other by spinning are
    many times slower on cores that others use.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // 2, cores - round(os.getloadavg()[0]))


async def _ready(service: Service, process: run.Process, log: Path) -> None:
    for _ in range(int(START_SECONDS / 0.1)):
        if process.poll() is not None:
            raise _failed(await asyncio.to_thread(log.read_text, errors="replace"))
        if service.socket.exists():
            try:
                health = await service.call("GET", "/health")
            except Unavailable:
                pass
            else:
                return _check(health)
        await asyncio.sleep(0.1)
    raise GoniError("the engine did not start in time", code="timeout")


def _check(health: object) -> None:
    checks = health.get("checks", []) if isinstance(health, dict) else []
    for check in checks:
        if check.get("name") == "embedding numbers" and not check.get("ok"):
            raise _failed(str(check.get("detail")))


def _failed(words: str) -> GoniError:
    last = words.strip().splitlines()[-1:] or ["it says nothing"]
    built = (paths.models_dir()).exists()
    return GoniError(
        f"the engine can't embed: {last[0][:300]}",
        hint="" if built else "make setup builds the engine and its model",
        code="engine_failed",
    )
