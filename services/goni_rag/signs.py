"""The signs of one owner's vectors in memory, 48 bytes a passage, and which agree best with a
question.

    all passages -> those whose signs differ least from the question's -> of these the ones where
    the question's numbers, each with the passage's sign, sum up highest

The second step costs little and tells much more: a sign that differs where the question's number is
small means nothing. Gordo and Perronnin, "Asymmetric distances for binary embeddings", CVPR 2011;
by tables for eight signs at once as in Jégou, Douze and Schmid, "Product quantization for nearest
neighbor search", TPAMI 2011.

sqlite-vec's own scan grows with the number of results that it is asked for (4096 of a million took
it seconds), so it keeps the signs and the scan is made here: exclusive or and a count of bits over
whole columns of 64-bit words, block by block so that what is computed stays in the cache, the
blocks shared by a few threads (numpy lets go of the interpreter's lock meanwhile).
"""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import embed

Number = TypeVar("Number", np.int64, np.uint64)

BITS = EMBEDDING_DIMENSIONS
LANES = BITS // 64
BLOCK = 32_768
"""Passages that are compared at once: what that takes fits into a core's cache."""
THREADS = min(4, len(os.sched_getaffinity(0)))
ALONE = 4 * BLOCK
"""Passages up to which a scan isn't worth other threads."""

KEPT = """
SELECT c.rowids, c.validity, v.vectors FROM vectors_chunks c
CROSS JOIN vectors_vector_chunks00 v ON v.rowid = c.chunk_id
WHERE c.partition00 = ?
"""
"""The blocks of some thousand passages in which sqlite-vec keeps the table ``vectors``: ids, a bit
for each row that is in use, and the signs (its ARCHITECTURE.md, "Shadow tables"). Row by row they
take Python twenty times longer.
"""

EIGHT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32)
"""Every value of a byte as its eight signs."""

_pool = ThreadPoolExecutor(THREADS, "rag-scan")


@dataclass(frozen=True)
class Snapshot:
    """Passages at one moment: ids, and their signs as six rows of 64 bits each; never changed."""

    ids: NDArray[np.int64]
    lanes: NDArray[np.uint64]

    def among(self, allowed: NDArray[np.int64]) -> Snapshot:
        """Only those passages whose ids are ``allowed``."""
        places = np.flatnonzero(np.isin(self.ids, allowed))
        return Snapshot(self.ids[places], np.take(self.lanes, places, axis=1))

    def nearest(self, vector: NDArray[np.float32], coarse: int, most: int) -> NDArray[np.int64]:
        """The ids of the ``most`` passages (all, if there are fewer) that agree best with
        ``vector``, of some ``coarse`` whose signs differ least from its own.
        """
        if len(self.ids) <= most:
            return self.ids
        places = self._alike(embed.signs(vector).view(np.uint64), coarse)
        if len(places) <= most:
            return self.ids[places]
        agreeing = self._agreement(vector, places)
        return self.ids[np.sort(places[np.argpartition(-agreeing, most)[:most]])]

    def _alike(self, asked: NDArray[np.uint64], most: int) -> NDArray[np.intp]:
        """The places of at least ``most`` passages (all, if there are fewer): those whose signs
        differ least, and all that differ as little as the last of them.
        """
        count = len(self.ids)
        if count <= most:
            return np.arange(count)
        distance = np.empty(count, np.uint16)
        run = _pool.map if count > ALONE else map
        counts = run(lambda start: self._compare(asked, distance, start), range(0, count, BLOCK))
        reached = np.sum(list(counts), axis=0).cumsum()
        limit = int(np.searchsorted(reached, most))
        return np.flatnonzero(distance <= limit)

    def _agreement(
        self, vector: NDArray[np.float32], places: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """The sum of the numbers of ``vector`` at which each of the passages has a 1."""
        tables = np.ascontiguousarray(vector.reshape(-1, 8) @ EIGHT.T)
        taken = np.take(self.lanes, places, axis=1).view(np.uint8).reshape(LANES, -1, 8)
        total = np.zeros(len(places), np.float32)
        for number, table in enumerate(tables):
            total += np.take(table, taken[number // 8, :, number % 8])
        return total

    def _compare(
        self, asked: NDArray[np.uint64], distance: NDArray[np.uint16], start: int
    ) -> NDArray[np.int64]:
        """Fill in the block of ``distance`` from ``start`` on; how many there are of each."""
        block = distance[start : start + BLOCK]
        block[:] = 0
        differing = np.empty(len(block), np.uint64)
        bits = np.empty(len(block), np.uint8)
        for lane, part in zip(self.lanes, asked, strict=True):
            np.bitwise_xor(lane[start : start + BLOCK], part, out=differing)
            block += np.bitwise_count(differing, out=bits)
        return np.bincount(block, minlength=BITS + 1)


@dataclass
class Signs:
    """One owner's passages. ``last`` is the newest row of the table ``arrivals`` that is in it.
    Rows up to ``count`` never change.
    """

    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    lanes: NDArray[np.uint64] = field(default_factory=lambda: np.empty((LANES, 0), np.uint64))
    count: int = 0
    last: int = 0

    def add(self, ids: NDArray[np.int64], signs: NDArray[np.uint8]) -> None:
        """Append passages; ``signs`` has a row of 48 bytes for each."""
        end = self.count + len(ids)
        if end > len(self.ids):
            room = max(end, len(self.ids) * 5 // 4, 1024)
            self.ids = _wider(self.ids, room, self.count)
            self.lanes = _wider(self.lanes, room, self.count)
        self.ids[self.count : end] = ids
        self.lanes[:, self.count : end] = np.ascontiguousarray(signs).view(np.uint64).T
        self.count = end

    def snapshot(self) -> Snapshot:
        """What is there now, for a scan that others may add to meanwhile."""
        return Snapshot(self.ids[: self.count], self.lanes[:, : self.count])


def read(db: sqlite3.Connection, owner: str, last: int) -> Signs:
    """All of ``owner``'s signs as ``db`` has them, which has arrivals up to ``last``."""
    kept = Signs(last=last)
    for rowids, validity, vectors in db.execute(KEPT, (owner,)):
        used = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little").astype(bool)
        ids = np.frombuffer(rowids, "<i8")
        kept.add(ids[used], np.frombuffer(vectors, np.uint8).reshape(len(ids), -1)[used])
    return kept


def _wider(array: NDArray[Number], room: int, count: int) -> NDArray[Number]:
    wider = np.empty((*array.shape[:-1], room), array.dtype)
    wider[..., :count] = array[..., :count]
    return wider
