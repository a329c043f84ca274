"""Indexing against embedding the same passages one by one in a bare llama-cpp-python loop, on one
core, on two, and so on up to all; taken in turns, so that both see the machine as it is just then.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from goni_core import contract, paths, run
from goni_rag import chunk, index, library, private
from goni_rag.connections import Connections
from goni_rag.embed import Embedder
from tests.bench import curves, rag_kills
from tests.bench.rows import Row, measured

TURNS = 3


@dataclass(frozen=True)
class Pace:
    """Passages a second with one number of cores, turn by turn."""

    indexing: Sequence[float]
    bare: Sequence[float]


def measure(folder: Path, documents: int) -> dict[int, Pace]:
    """The pace at ``documents`` documents, by the number of cores."""
    docs = folder / "paced"
    rag_kills.write(docs, documents)
    texts = [
        chunk.embedded_text(path.name, part.heading, part.text)
        for path in index.files(docs)
        for part in library.read(path).chunks
    ]
    (folder / "texts.json").write_text(json.dumps(texts))
    every = sorted(os.sched_getaffinity(0))
    counts = [1 << power for power in range(len(every).bit_length()) if 1 << power < len(every)]
    return {
        count: _paced(folder, every[:count], TURNS if count == len(every) else 1, len(texts))
        for count in [*counts, len(every)]
    }


def _paced(folder: Path, cores: Sequence[int], turns: int, passages: int) -> Pace:
    indexing, bare = [], []
    with _only(cores):
        for turn in range(turns):
            path = folder / f"paced-{len(cores)}-{turn}.db"
            indexing.append(passages / asyncio.run(_indexed(folder / "paced", path)))
            bare.append(passages / _bare(folder / "texts.json"))
    return Pace(indexing, bare)


@contextmanager
def _only(cores: Sequence[int]) -> Iterator[None]:
    """This thread, and what it starts, on ``cores`` alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _indexed(docs: Path, path: Path) -> float:
    async with private.engine() as engine:
        embedder = Embedder(engine)
        await embedder.embed(["warm up"])
        connections = Connections(path)
        try:
            begun = time.perf_counter()
            await index.index(connections, embedder, docs, "bench")
            return time.perf_counter() - begun
        finally:
            connections.close()


def _bare(texts: Path) -> float:
    model = paths.models_dir() / contract.EMBEDDING_FILE
    argv = [sys.executable, "-m", "tests.bench.loop", model, texts]
    return float(run.run(argv, timeout=3600).stdout)


def rows(found: Mapping[int, Pace]) -> list[Row]:
    """The ratio, with a target on all cores, and both paces."""
    shown = []
    for cores, pace in found.items():
        ratios = [ours / theirs for ours, theirs in zip(pace.indexing, pace.bare, strict=True)]
        target = 0.85 if cores == max(found) else None
        named = f"{cores} core{'s' if cores > 1 else ''}"
        shown += [
            measured(
                f"indexing / bare embedding loop, {named}", ratios, "x", target=target, floor=True
            ),
            measured(f"indexing, {named}", pace.indexing, "passages/s"),
            measured(f"bare embedding loop, {named}", pace.bare, "passages/s"),
        ]
    return shown


def picture(found: Mapping[int, Pace]) -> str:
    """Throughput against cores."""
    lines = {
        "indexing": {cores: pace.indexing for cores, pace in found.items()},
        "bare embedding loop": {cores: pace.bare for cores, pace in found.items()},
    }
    panel = curves.Panel("Throughput", "passages/s", lines, "core")
    return curves.picture("Indexing against cores: median, and up to the 95th percentile", [panel])
