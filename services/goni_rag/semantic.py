"""Passages near in meaning: a coarse scan over the signs of all vectors, then the exact
similarity of the best.

    question -> every passage of the owner by its signs -> the nearest some hundred (``signs``)
    -> their vectors from the database, in the same snapshot, by owner -> cosine similarity

The signs are kept in memory (``signs``). What is kept may run ahead of a snapshot of the database:
candidates that the snapshot doesn't have for this owner drop out when their vectors are read, and
what it has more is read before the scan.

Sign bits as hashes: Charikar, "Similarity estimation techniques from rounding algorithms", STOC
2002; with rescoring: Yamada, Asai and Hajishirzi, "Efficient passage retrieval with hashing for
open-domain question answering", ACL 2021.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from goni_rag import embed, signs
from goni_rag.embed import Vector
from goni_rag.signs import Signs

COARSE, COARSE_PER = 2000, 1 / 50
CANDIDATES, CANDIDATES_PER = 600, 1 / 800
"""How many passages each of the two looks at signs hands on at least, and how many more for each
there is.
"""
STALE = 64
"""Passages that are gone may stay in the kept signs until they are so many, and one in twenty."""
KEPT = 2_000_000
"""Passages of all owners whose signs stay in memory: 112 MB. Those not asked for longest go."""

NEWER = """
SELECT DISTINCT f.chunk, f.vector FROM arrivals a
JOIN fine f ON f.chunk = a.chunk AND f.owner = a.owner
WHERE a.id > ? AND a.owner = ?
"""
LAST = "SELECT COALESCE(MAX(id), 0) FROM arrivals"
LIVE = "SELECT vectors FROM owners WHERE owner = ?"
EXACT = """
SELECT f.chunk, f.vector FROM json_each(:chunks) asked
CROSS JOIN fine f ON f.chunk = asked.value AND f.owner = :owner
"""


class Semantic:
    """Search by meaning over one database, from any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Signs] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self,
        db: sqlite3.Connection,
        owner: str,
        vector: Vector,
        most: int,
        among: NDArray[np.int64] | None = None,
    ) -> list[tuple[int, float]]:
        """The ids of the ``most`` passages of ``owner`` alone that are nearest, with their cosine
        similarity, nearest first; ``among``: only of these. ``db`` is inside a transaction.
        """
        asked = np.frombuffer(vector, dtype="<f4")
        with self._lock:
            kept = self._current(db, owner).snapshot()
        if among is not None:
            kept = kept.among(among)
        coarse = COARSE + int(len(kept.ids) * COARSE_PER)
        handed_on = max(CANDIDATES + int(len(kept.ids) * CANDIDATES_PER), 4 * most)
        near = kept.nearest(asked, max(coarse, handed_on), handed_on)
        scored = similarities(db, owner, asked, [int(chunk) for chunk in near])
        return sorted(scored.items(), key=lambda item: (-item[1], item[0]))[:most]

    def _current(self, db: sqlite3.Connection, owner: str) -> Signs:
        """The owner's signs with all that this snapshot has."""
        row = db.execute(LIVE, (owner,)).fetchone()
        live = row[0] if row else 0
        newest = db.execute(LAST).fetchone()[0]
        kept = self._kept.get(owner)
        if kept is None or kept.count - live > max(STALE, live // 20):
            kept = self._kept[owner] = signs.read(db, owner, newest)
            self._forget_some(owner)
        self._kept.move_to_end(owner)
        if kept.last < newest:
            rows = db.execute(NEWER, (kept.last, owner)).fetchall()
            if rows:
                vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f2")
                ids = np.array([row[0] for row in rows], np.int64)
                kept.add(ids, embed.signs(vectors.reshape(len(rows), -1).astype(np.float32)))
            kept.last = newest
        return kept

    def _forget_some(self, owner: str) -> None:
        while sum(kept.count for kept in self._kept.values()) > KEPT:
            oldest = next(iter(self._kept))
            if oldest == owner:
                break
            del self._kept[oldest]


def similarities(
    db: sqlite3.Connection, owner: str, asked: NDArray[np.float32], chunks: Iterable[int]
) -> dict[int, float]:
    """The cosine similarity to ``asked`` of those of ``chunks`` that are ``owner``'s and have a
    vector.
    """
    values = {"chunks": json.dumps(list(chunks)), "owner": owner}
    rows = db.execute(EXACT, values).fetchall()
    if not rows:
        return {}
    matrix = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f2").reshape(len(rows), -1)
    scores = matrix.astype(np.float32) @ asked
    return {row[0]: float(score) for row, score in zip(rows, scores, strict=True)}
