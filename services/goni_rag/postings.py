"""Which of an owner's passages have a term, read from FTS5's index and never too much of it.

A common word is in most of a million passages, and reading them all takes FTS5 longer than a
person should wait. So how many passages have it is estimated from a sample, and of what is read
only the newest part, where all would be too much (:data:`ROWS`). Every term begins with its owner's
number: what another owner has is in other lists.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goni_rag import words

ROWS = 15_000
"""Passages that one question may have FTS5 look at for one owner, for each thing it looks for."""
FEW = 20_000
"""Ids from which on a term's passages are sampled before they are counted."""
WINDOWS, WIDTH = 8, 1000
"""The sample: so many runs of so many ids, evenly spread over all."""
SURE = 64
"""Passages of the sample that have a term from which on it tells how many there are; with fewer
there are few enough to be counted.
"""

EXACT = "SELECT COUNT(*) FROM lexical WHERE lexical MATCH :match"
SAMPLED = """
SELECT COUNT(*) FROM json_each(:starts) start CROSS JOIN lexical
WHERE lexical MATCH :match AND lexical.rowid BETWEEN start.value AND start.value + :width
"""
OCCURRENCES = """
SELECT doc, CASE col WHEN 'text' THEN 0 WHEN 'heading' THEN 1 ELSE 2 END
FROM occurrences WHERE term = ?
"""
MATCHING = """
SELECT rowid FROM lexical WHERE lexical MATCH :match AND rowid BETWEEN :least AND :newest
ORDER BY rowid DESC LIMIT :most
"""
TOP = "SELECT COALESCE(MAX(id), 0) FROM chunks"

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """Passages, each id once, and how often each has what was looked for: in text, heading and
    name (a column each).
    """

    ids: Ids
    often: NDArray[np.int64]


@dataclass(frozen=True)
class Postings:
    """The terms of the owner with this ``number``; ``top`` is the largest id of any passage. Only
    passages ``among`` these are given, unless it is None; counts are of all.
    """

    db: sqlite3.Connection
    number: int
    top: int
    among: Ids | None = None

    def count(self, term: str) -> int:
        """In how many passages ``term`` is, about."""
        match = self.quoted([term])
        if self.top > FEW:
            step = self.top // WINDOWS
            starts = [1 + place * step for place in range(WINDOWS)]
            values = {"starts": json.dumps(starts), "width": WIDTH - 1, "match": match}
            sampled: int = self.db.execute(SAMPLED, values).fetchone()[0]
            if sampled >= SURE:
                return sampled * self.top // (WINDOWS * WIDTH)
        exact: int = self.db.execute(EXACT, {"match": match}).fetchone()[0]
        return exact

    def occurrences(self, terms: Sequence[str]) -> Found:
        """The passages with any of ``terms``, all of them: for terms that :meth:`count` calls
        rare.
        """
        rows = (self.db.execute(OCCURRENCES, (f"{self.number}:{term}",)) for term in terms)
        flat = np.fromiter(itertools.chain.from_iterable(itertools.chain(*rows)), np.int64)
        places, fields = flat[::2], flat[1::2]
        ids, which = np.unique(places, return_inverse=True)
        often = np.bincount(which * 3 + fields, minlength=3 * len(ids)).reshape(-1, 3)
        there = self._allowed(ids)
        return Found(ids[there], often[there])

    def matching(self, match: str, count: int) -> Ids:
        """Passages that match an FTS5 expression, newest first; of ``count`` that a reader has to
        look at for them about :data:`ROWS` at most.
        """
        newest = self.top if self.among is None else int(self.among.max(initial=0))
        least = max(0, newest - self.top * ROWS // count) if count > ROWS else 0
        values = {"match": match, "least": least, "newest": newest, "most": ROWS}
        ids = np.array([row[0] for row in self.db.execute(MATCHING, values)], np.int64)
        return ids[self._allowed(ids)]

    def _allowed(self, ids: Ids) -> NDArray[np.bool_]:
        return np.ones(len(ids), bool) if self.among is None else np.isin(ids, self.among)

    def inside(self, grams: Sequence[str]) -> Ids:
        """Passages with these trigrams in a row."""
        terms = [words.gram(gram) for gram in grams]
        rarest = min(self.count(term) for term in terms)
        return self.matching(
            '"' + " ".join(f"{self.number}:{term}" for term in terms) + '"', rarest
        )

    def quoted(self, terms: Sequence[str]) -> str:
        """An FTS5 expression for any of ``terms``; nothing in a quoted one is an operator
        (https://sqlite.org/fts5.html#full_text_query_syntax).
        """
        return " OR ".join(f'"{self.number}:{term}"' for term in terms)


def of(db: sqlite3.Connection, number: int, among: Ids | None = None) -> Postings:
    """The terms of the owner with this ``number``, as ``db`` has them."""
    return Postings(db, number, db.execute(TOP).fetchone()[0], among)
