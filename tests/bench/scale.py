"""Search at many passages, beside one dot-product scan in numpy over the same vectors.

Vectors are mixtures: two real embeddings (of this repository's own documentation), weighed at
random, and noise of the mixture's length, so that the nearest of a question lie close together.
Texts are words drawn by Zipf's law from a vocabulary of 50,000. Rows go in by the statements of
``goni_rag.store`` without its work per file, which the throughput row measures. Questions are made
as passages are. The searching process is one of its own: its memory is what search needs.

    python -m tests.bench.scale --search DATABASE QUESTIONS    (what the bench starts itself)
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goni_core import run
from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import database, embed, retrieve
from goni_rag.semantic import Semantic

OWNER = "bench"
VOCABULARY = 50_000
WORDS = 30
BLOCK = 10_000
QUESTIONS = 50
NEIGHBOURS = 10
SEED = 4


@dataclass(frozen=True)
class Searched:
    """What the searching process found: seconds of each whole search and of each by meaning alone,
    the ids by meaning, and the most bytes of memory it had.
    """

    whole: Sequence[float]
    meaning: Sequence[float]
    ids: Sequence[Sequence[int]]
    memory: int


def vectors(centres: NDArray[np.float32], count: int, seed: int) -> Iterator[NDArray[np.float32]]:
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


def texts(count: int, seed: int) -> Iterator[str]:
    """``count`` lines of words."""
    random = np.random.default_rng(seed)
    odds = (1.0 / np.arange(1, VOCABULARY + 1)).cumsum()
    for start in range(0, count, BLOCK):
        drawn = np.searchsorted(odds, random.random((min(BLOCK, count - start), WORDS)) * odds[-1])
        for row in drawn.tolist():
            yield " ".join(f"w{word}" for word in row)


def build(path: Path, centres: NDArray[np.float32], count: int) -> None:
    """An index of ``count`` passages of one owner at ``path``."""
    db = database.open_writer(path)
    db.execute("PRAGMA synchronous = OFF")
    with database.transaction(db):
        db.execute(
            "INSERT INTO owners VALUES (1, ?, ?, ?, ?)", (OWNER, count, WORDS * count, count)
        )
        db.execute(
            "INSERT INTO documents VALUES"
            " (1, ?, 'a', '', 0, 0, '', '', '', '', 0, 'indexed', '', 0)",
            (OWNER,),
        )
        lines = texts(count, SEED)
        for number, block in enumerate(vectors(centres, count, SEED)):
            _insert(db, number * BLOCK + 1, block, [next(lines) for _ in block])
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _insert(
    db: sqlite3.Connection, first: int, block: NDArray[np.float32], lines: Sequence[str]
) -> None:
    ids = range(first, first + len(block))
    signs, fine = embed.signs(block), block.astype("<f2")
    db.executemany(
        "INSERT INTO chunks VALUES (?, 1, ?, ?, 0, '', 0, 0, ?, 'en', 1, 1, ?, NULL)",
        ((one, OWNER, one, line, one) for one, line in zip(ids, lines, strict=True)),
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


def questions(centres: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[str]]:
    """Vectors and words of the questions: four words of a passage each."""
    asked = np.concatenate(list(vectors(centres, QUESTIONS, SEED + 1)))
    return asked, [" ".join(line.split()[:4]) for line in texts(QUESTIONS, SEED + 1)]


def exact(
    centres: NDArray[np.float32], count: int, asked: NDArray[np.float32]
) -> tuple[list[float], list[set[int]]]:
    """Seconds of one dot-product scan for each question, and the ids that it finds."""
    matrix = np.empty((count, EMBEDDING_DIMENSIONS), np.float32)
    for number, block in enumerate(vectors(centres, count, SEED)):
        matrix[number * BLOCK : number * BLOCK + len(block)] = block
    seconds, found = [], []
    for one in asked:
        begun = time.perf_counter()
        scores = matrix @ one
        best = np.argpartition(-scores, NEIGHBOURS)[:NEIGHBOURS]
        seconds.append(time.perf_counter() - begun)
        found.append({int(place) + 1 for place in best})
    return seconds, found


def search(path: Path, asked: NDArray[np.float32], lines: Sequence[str]) -> Searched:
    """Search in a process of its own."""
    given = path.with_suffix(".npz")
    np.savez(given, asked=asked, lines=np.array(lines))
    argv = [sys.executable, "-m", "tests.bench.scale", "--search", path, given]
    return Searched(**json.loads(run.run(argv, timeout=3600).stdout))


def _search(path: Path, given: Path) -> Searched:
    with np.load(given) as loaded:
        asked, lines = loaded["asked"], loaded["lines"].tolist()
    db, near = database.open_reader(path), Semantic()
    db.execute("BEGIN")
    whole, meaning, ids = [], [], []
    near.search(db, OWNER, asked[0].tobytes(), NEIGHBOURS)  # reads the signs
    for vector, line in zip(asked, lines, strict=True):
        begun = time.perf_counter()
        found = near.search(db, OWNER, vector.tobytes(), NEIGHBOURS)
        meaning.append(time.perf_counter() - begun)
        ids.append([one for one, _ in found])
        begun = time.perf_counter()
        retrieve.search(db, near, OWNER, line, vector.tobytes(), NEIGHBOURS)
        whole.append(time.perf_counter() - begun)
    status = Path("/proc/self/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return Searched(whole, meaning, ids, int(peak) << 10)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.scale")
    parser.add_argument("--search", nargs=2, type=Path, required=True, metavar="FILE")
    print(json.dumps(vars(_search(*parser.parse_args().search))))


if __name__ == "__main__":
    main()
