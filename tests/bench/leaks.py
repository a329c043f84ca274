"""Random searches while documents come, go and change hands: does anybody ever see another's text?

Each document carries its owner's mark in its text, and all share words and vectors, so that the
nearest passage is most often somebody else's.
"""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import numpy as np

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import database, retrieve, store
from goni_rag.chunk import Chunk
from goni_rag.folders import SHARED
from goni_rag.semantic import Semantic

OWNERS = ("ann", "bob", "eve", SHARED)
WORDS = tuple(f"word{number}" for number in range(40))
DOCUMENTS = 12
CHANGE = 0.2
"""How often a step changes who has a document, instead of searching only."""


def count(folder: Path, searches: int) -> tuple[int, int]:
    """How many results showed another's text, of how many results in all."""
    draw = random.Random(7)
    centres = np.random.default_rng(7).standard_normal((8, EMBEDDING_DIMENSIONS))
    db, near = database.open_writer(folder / "leaks.db"), Semantic()
    db.execute("PRAGMA synchronous = OFF")
    leaked = shown = 0
    for _ in range(searches):
        with database.transaction(db):
            if draw.random() < CHANGE:
                _change(db, draw, centres)
            asking = draw.choice(OWNERS)
            query = " ".join(draw.choices(WORDS, k=3))
            vector = _vector(draw, centres)
            for source in retrieve.search(db, near, asking, query, vector, 10):
                shown += 1
                leaked += not {f"mark-{asking}", f"mark-{SHARED}"} & set(source.text.split())
    db.close()
    return leaked, shown


def _change(db: sqlite3.Connection, draw: random.Random, centres: np.ndarray) -> None:
    """A document is taken from one owner, or given to one, or both."""
    name = f"{draw.randrange(DOCUMENTS)}.txt"
    store.forget(db, (draw.choice(OWNERS), name))
    owner = draw.choice(OWNERS)
    texts = [" ".join([f"mark-{owner}", *draw.choices(WORDS, k=8)]) for _ in range(3)]
    chunks = [Chunk(text, 0, "", 0, len(text)) for text in texts]
    vectors = [_vector(draw, centres) for _ in texts]
    entry = store.Entry(owner, name, 1, "sha", "signature", 0, "indexed")
    store.put(db, entry, chunks, vectors)


def _vector(draw: random.Random, centres: np.ndarray) -> bytes:
    numbers = centres[draw.randrange(len(centres))] + 0.1 * draw.random()
    return (numbers / np.linalg.norm(numbers)).astype("<f4").tobytes()
