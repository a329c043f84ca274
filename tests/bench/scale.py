"""Search at many passages, beside one dot-product scan in numpy over the same vectors.

Vectors are mixtures: two real embeddings (of this repository's own documentation), weighed at
random, and noise of the mixture's length, so that the nearest of a question lie close together.
Texts are words drawn by Zipf's law from a vocabulary of 50,000 without any stop words taken out, so
that a question's words are in most passages more often than real ones would be. Rows go in by the
statements of ``goni_rag.store`` without its work per file, which the throughput row measures.
Questions are made as passages are. The searching process is one of its own, so that its memory is
what search needs; it and the scan take turns, so that both see the machine as it is just then.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import database, embed, retrieve, words
from goni_rag.semantic import Semantic
from tests.bench import curves
from tests.bench.rows import Row, at_percentile, measured, percentile

OWNER = "bench"
VOCABULARY = 50_000
WORDS = (20, 60)
"""The fewest and the most words of a passage."""
ASKED = (2, 8)
"""The fewest and the most words of a question."""
PASSAGES = 20
"""Passages of a document."""
BLOCK = 10_000
QUESTIONS = 100
NEIGHBOURS = 10
SEED = 4

MILLION = 1_000_000
LATENCY, MEMORY, RECALL = 150.0, 1.5e9, 0.97
"""Targets at a million: milliseconds, bytes, share of the exact result."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """What came of searching: seconds of the first search, which loads what is kept in memory, of
    each whole search, of each by meaning alone, and of each scan; the share of the scan's nearest
    that the search by meaning found; the most bytes of memory that the searching process had.
    """

    first: float
    whole: Sequence[float]
    meaning: Sequence[float]
    scan: Sequence[float]
    recall: float
    memory: int


def vectors(centres: Vectors, count: int, seed: int) -> Iterator[Vectors]:
    """``count`` unit vectors in blocks."""
    random = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        share = random.random((size, 1), dtype=np.float32)
        pairs = random.integers(0, len(centres), (2, size))
        mixed = share * centres[pairs[0]] + (1 - share) * centres[pairs[1]]
        noise = random.standard_normal((size, EMBEDDING_DIMENSIONS), dtype=np.float32)
        mixed += noise * np.linalg.norm(mixed, axis=1, keepdims=True) / EMBEDDING_DIMENSIONS**0.5
        yield mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def texts(count: int, seed: int, lengths: tuple[int, int] = WORDS) -> Iterator[str]:
    """``count`` lines of words."""
    random = np.random.default_rng(seed)
    odds = (1.0 / np.arange(1, VOCABULARY + 1)).cumsum()
    for start in range(0, count, BLOCK):
        size = random.integers(lengths[0], lengths[1] + 1, min(BLOCK, count - start))
        drawn = np.searchsorted(odds, random.random(int(size.sum())) * odds[-1])
        for row in np.split(drawn, size.cumsum()[:-1]):
            yield " ".join(f"w{word}" for word in row.tolist())


def build(path: Path, centres: Vectors, count: int) -> None:
    """An index of ``count`` passages of one owner at ``path``."""
    with closing(database.open_writer(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        with database.transaction(db):
            db.execute("INSERT INTO owners VALUES (1, ?, ?, 0, ?)", (OWNER, count, count))
            db.executemany(
                "INSERT INTO documents VALUES"
                " (?, ?, ?, 'txt', 0, 0, '', '', '', '', 0, 'indexed', '', 0)",
                ((one, OWNER, f"{one}.txt") for one in range(1, count // PASSAGES + 2)),
            )
        lines = texts(count, SEED)
        for number, block in enumerate(vectors(centres, count, SEED)):
            with database.transaction(db):
                _insert(db, number * BLOCK + 1, block, [next(lines) for _ in block])
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _insert(db: sqlite3.Connection, first: int, block: Vectors, lines: Sequence[str]) -> None:
    ids = range(first, first + len(block))
    signs, fine = embed.signs(block), block.astype("<f2")
    versions = words.VERSION, embed.VERSION
    db.executemany(
        "INSERT INTO chunks VALUES (?, ?, ?, ?, 0, '', 0, 0, ?, 'en', ?, ?, ?, NULL)",
        (
            (one, 1 + one // PASSAGES, OWNER, one % PASSAGES, line, *versions, one)
            for one, line in zip(ids, lines, strict=True)
        ),
    )
    db.executemany(
        "INSERT INTO lexical (rowid, name, heading, text, grams) VALUES (?, '', '', ?, '')",
        (
            (one, " ".join(f"1:{word}" for word in line.split()))
            for one, line in zip(ids, lines, strict=True)
        ),
    )
    db.executemany(
        "INSERT INTO vectors VALUES (?, ?, vec_bit(?))",
        ((one, OWNER, row.tobytes()) for one, row in zip(ids, signs, strict=True)),
    )
    db.executemany(
        "INSERT INTO fine VALUES (?, ?, ?)",
        ((one, OWNER, row.tobytes()) for one, row in zip(ids, fine, strict=True)),
    )
    terms = sum(line.count(" ") + 1 for line in lines)
    db.execute("UPDATE owners SET terms = terms + ?", (terms,))


def search(path: Path, centres: Vectors, count: int) -> Found:
    """Search the index of ``count`` passages at ``path``."""
    asked = np.concatenate(list(vectors(centres, QUESTIONS, SEED + 1)))
    lines = texts(QUESTIONS, SEED + 1, ASKED)
    matrix = np.empty((count, EMBEDDING_DIMENSIONS), np.float32)
    for number, block in enumerate(vectors(centres, count, SEED)):
        matrix[number * BLOCK : number * BLOCK + len(block)] = block
    spawned = multiprocessing.get_context("spawn")
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_serve, args=(theirs, path))
    process.start()
    theirs.close()
    try:
        _exact(matrix, asked[0])
        first, *_ = _asked(ours, asked[0], "w1")
        rows = []
        for vector, line in zip(asked, lines, strict=True):
            scan, right = _exact(matrix, vector)
            whole, meaning, ids, memory = _asked(ours, vector, line)
            rows.append((whole, meaning, scan, len(right & set(ids)) / NEIGHBOURS))
    finally:
        ours.close()
        process.join(60)
    whole, meaning, scan, recall = zip(*rows, strict=True)
    return Found(first, whole, meaning, scan, sum(recall) / len(recall), memory)


def _exact(matrix: Vectors, asked: Vectors) -> tuple[float, set[int]]:
    """Seconds of one dot-product scan, and the ids that it finds."""
    begun = time.perf_counter()
    scores = matrix @ asked
    best = np.argpartition(-scores, NEIGHBOURS)[:NEIGHBOURS]
    return time.perf_counter() - begun, {int(place) + 1 for place in best}


def _asked(
    there: Connection, vector: Vectors, line: str
) -> tuple[float, float, Sequence[int], int]:
    there.send((vector, line))
    answer: tuple[float, float, Sequence[int], int] = there.recv()
    return answer


def _serve(asking: Connection, path: Path) -> None:
    """Answer questions until nobody asks any more: seconds of the whole search, of that by meaning,
    the ids that the latter found, and the most memory until now.
    """
    near = Semantic()
    with closing(database.open_reader(path)) as db:
        while True:
            try:
                vector, line = asking.recv()
            except EOFError:
                return
            db.execute("BEGIN")
            begun = time.perf_counter()
            retrieve.search(db, near, OWNER, line, vector.tobytes(), NEIGHBOURS)
            whole = time.perf_counter() - begun
            begun = time.perf_counter()
            found = near.search(db, OWNER, vector.tobytes(), NEIGHBOURS)
            meaning = time.perf_counter() - begun
            db.execute("ROLLBACK")
            asking.send((whole, meaning, [one for one, _ in found], peak()))


def peak() -> int:
    """The most bytes of memory that this process had."""
    status = Path("/proc/self/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak) << 10


def measure(folder: Path, centres: Vectors, count: int) -> Found:
    """Build an index of ``count`` passages in ``folder``, search it, and remove it."""
    path = folder / f"scale-{count}.db"
    build(path, centres, count)
    try:
        return search(path, centres, count)
    finally:
        path.unlink()


def rows(count: int, found: Found) -> list[Row]:
    """The figures at ``count`` passages; with targets at a million."""
    whole, meaning, scan = (
        [1000 * one for one in some] for some in (found.whole, found.meaning, found.scan)
    )
    ratio = percentile(whole, 95) / percentile(scan, 95)
    near, last = f"{count:,} passages", count == MILLION
    return [
        at_percentile(f"{near}: search p95", whole, 95, "ms", target=LATENCY if last else None),
        at_percentile(f"{near}: by meaning p95", meaning, 95, "ms"),
        at_percentile(f"{near}: numpy scan p95", scan, 95, "ms"),
        measured(f"{near}: search / numpy scan", [ratio], "x", target=1.0 if last else None),
        measured(f"{near}: recall@10", [found.recall], "x", target=RECALL, floor=True),
        measured(f"{near}: first search", [found.first], "s"),
        measured(f"{near}: memory", [found.memory], "bytes", target=MEMORY if last else None),
    ]


def picture(curve: Mapping[int, Found]) -> str:
    """Latency and memory against passages."""

    def line(name: str) -> dict[int, list[float]]:
        return {size: [1000 * one for one in getattr(found, name)] for size, found in curve.items()}

    times = {"search": line("whole"), "by meaning": line("meaning"), "numpy scan": line("scan")}
    memory = {"search": {size: [found.memory / 1e6] for size, found in curve.items()}}
    panels = [
        curves.Panel("Latency", "ms", times, "passage"),
        curves.Panel("Memory", "MB", memory, "passage"),
    ]
    return curves.picture("Search against passages: median, and up to the 95th percentile", panels)
