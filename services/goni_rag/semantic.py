"""Passages near in meaning: a coarse scan over the signs of all vectors, then the exact
similarity of the best.

    question's signs -> Hamming distance to every passage of the owner -> the nearest some thousand
    -> their vectors from the database, in the same snapshot, by owner -> cosine similarity

The signs are kept in memory, 48 bytes a passage, because sqlite-vec's own scan grows with the
number of results that it is asked for (4096 of a million took it seconds, numpy 10 ms). What is
kept may lag behind or run ahead of a snapshot: candidates that the snapshot doesn't have for this
owner drop out when their vectors are read, and what it has more is read before the scan.

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
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import embed
from goni_rag.embed import Vector

Number = TypeVar("Number", np.int64, np.uint64)

CANDIDATES, CANDIDATES_PER = 500, 1 / 500
"""How many passages the coarse scan hands on at least, and how many more for each there is."""
BITS = EMBEDDING_DIMENSIONS
LANES = BITS // 64
STALE = 64
"""Passages that are gone may stay in the kept signs until they are so many, and one in twenty."""
KEPT = 2_000_000
"""Passages of all owners whose signs stay in memory: 112 MB. Those not asked for longest go."""

SIGNS = "SELECT chunk, embedding FROM vectors WHERE owner = ?"
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


@dataclass
class Signs:
    """One owner's passages: ids, and their signs as six rows of 64 bits each. ``last`` is the
    newest row of the table ``arrivals`` that is in it. Rows up to ``count`` never change.
    """

    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    lanes: NDArray[np.uint64] = field(default_factory=lambda: np.empty((LANES, 0), np.uint64))
    count: int = 0
    last: int = 0

    def add(self, ids: NDArray[np.int64], signs: NDArray[np.uint8]) -> None:
        """Append passages; ``signs`` has a row of 48 bytes for each."""
        end = self.count + len(ids)
        if end > len(self.ids):
            room = max(end, len(self.ids) * 3 // 2, 1024)
            self.ids = _wider(self.ids, room, self.count)
            self.lanes = _wider(self.lanes, room, self.count)
        self.ids[self.count : end] = ids
        self.lanes[:, self.count : end] = np.ascontiguousarray(signs).view(np.uint64).T
        self.count = end

    def among(self, allowed: NDArray[np.int64]) -> Signs:
        """Only those passages whose ids are ``allowed``."""
        place = np.flatnonzero(np.isin(self.ids[: self.count], allowed))
        return Signs(self.ids[place], self.lanes[:, place], len(place), self.last)

    def nearest(self, signs: NDArray[np.uint8], most: int) -> NDArray[np.int64]:
        """The ids of at least ``most`` passages (all, if there are fewer): those whose signs
        differ least, and all that differ as little as the last of them.
        """
        if self.count <= most:
            return self.ids[: self.count]
        asked = signs.view(np.uint64)
        distance = np.zeros(self.count, np.uint16)
        for lane, part in zip(self.lanes, asked, strict=True):
            distance += np.bitwise_count(lane[: self.count] ^ part)
        reached = np.bincount(distance, minlength=BITS + 1).cumsum()
        limit = int(np.searchsorted(reached, most))
        return self.ids[: self.count][distance <= limit]


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
            kept = self._current(db, owner)
            if among is not None:
                kept = kept.among(among)
            handed_on = CANDIDATES + int(kept.count * CANDIDATES_PER)
            near = kept.nearest(embed.signs(asked), max(handed_on, 4 * most))
        scored = similarities(db, owner, asked, [int(chunk) for chunk in near])
        return sorted(scored.items(), key=lambda item: (-item[1], item[0]))[:most]

    def _current(self, db: sqlite3.Connection, owner: str) -> Signs:
        """The owner's signs with all that this snapshot has."""
        row = db.execute(LIVE, (owner,)).fetchone()
        live = row[0] if row else 0
        kept = self._kept.get(owner)
        if kept is None or kept.count - live > max(STALE, live // 20):
            kept = self._kept[owner] = _read(db, owner)
            self._forget_some(owner)
        self._kept.move_to_end(owner)
        newest = db.execute(LAST).fetchone()[0]
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


def _read(db: sqlite3.Connection, owner: str) -> Signs:
    last = db.execute(LAST).fetchone()[0]
    kept = Signs(last=last)
    rows = db.execute(SIGNS, (owner,))
    while some := rows.fetchmany(50_000):
        ids = np.array([row[0] for row in some], np.int64)
        signs = np.frombuffer(b"".join(row[1] for row in some), np.uint8).reshape(len(some), -1)
        kept.add(ids, signs)
    return kept


def _wider(array: NDArray[Number], room: int, count: int) -> NDArray[Number]:
    wider = np.empty((*array.shape[:-1], room), array.dtype)
    wider[..., :count] = array[..., :count]
    return wider
