"""Very many small files: how long it takes to notice them, that they are gone, and what memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import time
from multiprocessing.connection import Connection
from pathlib import Path

from goni_core.http import Service
from goni_rag import ledger, reconcile
from goni_rag.embed import Embedder
from goni_rag.library import Library
from tests.bench import scale
from tests.bench.rows import Row, measured

OWNER = "crowd"
A_FOLDER = 1000
OLD = 1_700_000_000
MEMORY = 200e6


def rows(folder: Path, count: int) -> list[Row]:
    """``count`` files of one line come and go, in a process of their own."""
    state = folder / "crowd"
    _fill(state / "folders" / OWNER, count)
    spawned = multiprocessing.get_context("spawn")
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_follow, args=(theirs, state))
    process.start()
    came, went, noticed, left, memory = ours.recv()
    process.join(60)
    shutil.rmtree(state)
    named = f"{count:,} small files"
    return [
        measured(f"{named}: not noticed", [count - noticed], "results", target=0),
        measured(f"{named}: still there when they are gone", [left], "results", target=0),
        measured(f"{named}: noticed", [count / came], "files/s"),
        measured(f"{named}: dropped", [count / went], "files/s"),
        measured(f"{named}: memory", [memory], "bytes", target=MEMORY),
    ]


def _fill(folder: Path, count: int) -> None:
    for number in range(count):
        inner = folder / f"{number // A_FOLDER}"
        if number % A_FOLDER == 0:
            inner.mkdir(parents=True)
        path = inner / f"{number}.txt"
        path.write_text(f"Note {number}.\n")
        os.utime(path, (OLD, OLD))


def _follow(told: Connection, state: Path) -> None:
    async def both() -> tuple[float, float, int, int, int]:
        engine = Service("the engine", state / "nothing.sock")
        library = Library(state, Embedder(engine))
        try:
            begun = time.perf_counter()
            await reconcile.everything(library, lambda folder: None)
            came = time.perf_counter() - begun
            noticed = await library.connections.read(ledger.count, OWNER)
            shutil.rmtree(library.root / OWNER)
            begun = time.perf_counter()
            await reconcile.everything(library, lambda folder: None)
            went = time.perf_counter() - begun
            left = await library.connections.read(ledger.count, OWNER)
            return came, went, noticed, left, scale.peak()
        finally:
            library.close()
            await engine.close()

    told.send(asyncio.run(both()))
