"""Search: the best passages for a question, by words and by meaning, fused.

    question -> words ---> candidates by FTS5 ----+
             -> vector --> candidates by signs ---+-> both scores of each -> one -> sources

The owner stands in each statement, beside the match itself, so that another person's passage is
never a candidate. A passage counts only with a content word of the question in it or with a
similarity of at least :data:`FLOOR`.

Fusion is a convex combination of both scores, each made comparable by what it can be at least and
is at most: Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval", ACM TOIS
2023.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from goni_core.contract import Source
from goni_rag import lexical, semantic
from goni_rag.embed import Vector
from goni_rag.folders import SHARED
from goni_rag.lexical import Question
from goni_rag.semantic import Semantic

FLOOR = 0.25
"""Least cosine similarity of a passage that shares no word with the question. Measured with
all-MiniLM-L6-v2 on household texts: of 19 paraphrased questions 17 reach it with their passage
(most have 0.35 and more), of 18 unrelated ones 15 stay below it with every passage.
"""
DEPTH = 100
"""Candidates that each method gives."""
MEANING = 0.6
"""How much the meaning counts, the words counting for the rest."""
UNLIKE = 0.0
"""The cosine similarity that counts as nothing in common."""

PASSAGE = """
SELECT d.name, c.page, c.heading, c.text, c.owner FROM chunks c
JOIN documents d ON d.id = c.document AND d.owner = c.owner
WHERE c.id = :chunk AND c.owner IN (:owner, :shared)
"""


@dataclass(frozen=True)
class Found:
    """A passage with both scores: bm25 (0: none of the words) and cosine similarity (-1: it has no
    vector).
    """

    chunk: int
    words: float
    meaning: float


def search(
    db: sqlite3.Connection,
    near: Semantic,
    owner: str,
    query: str,
    vector: Vector | None,
    k: int,
) -> list[Source]:
    """The best ``k`` passages of ``owner`` and of the shared folder, best first.

    Without ``vector`` (no engine) only words count. ``near`` searches this database by meaning.
    """
    found = candidates(db, near, (owner, SHARED), query, vector, DEPTH)
    telling = [one for one in found if one.words or one.meaning >= FLOOR]
    return [_source(db, owner, chunk, score) for chunk, score in fused(telling)[:k]]


def candidates(
    db: sqlite3.Connection,
    near: Semantic,
    owners: Sequence[str],
    query: str,
    vector: Vector | None,
    depth: int,
) -> list[Found]:
    """Every passage of ``owners`` that is among the best ``depth`` of an owner by words or by
    meaning, with both scores.
    """
    asked = lexical.question(db, owners, query)
    found = []
    for owner in dict.fromkeys(owners):
        found += _of_owner(db, near, owner, asked, vector, depth)
    return found


def _of_owner(
    db: sqlite3.Connection,
    near: Semantic,
    owner: str,
    asked: Question,
    vector: Vector | None,
    depth: int,
) -> list[Found]:
    worded = lexical.candidates(db, owner, asked, depth)
    meant = dict(near.search(db, owner, vector, depth)) if vector else {}
    chunks = dict.fromkeys([*worded, *meant])
    scores = lexical.scores(db, owner, asked, chunks)
    if vector:
        missing = [chunk for chunk in worded if chunk not in meant]
        numbers = np.frombuffer(vector, dtype="<f4")
        meant |= semantic.similarities(db, owner, numbers, missing)
    return [Found(chunk, scores.get(chunk, 0.0), meant.get(chunk, -1.0)) for chunk in chunks]


def fused(found: Sequence[Found]) -> list[tuple[int, float]]:
    """The passages by both scores together, from 0 to 1; best first, equal ones by id."""
    most = max((one.words for one in found), default=0.0) or 1.0
    nearest = max((one.meaning for one in found), default=0.0)
    span = nearest - UNLIKE if nearest > UNLIKE else 1.0
    scores = {
        one.chunk: (1 - MEANING) * one.words / most
        + MEANING * max(0.0, one.meaning - UNLIKE) / span
        for one in found
    }
    return ranked(scores)


def ranked(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    """Best first, equal ones by id."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _source(db: sqlite3.Connection, owner: str, chunk: int, score: float) -> Source:
    values = {"chunk": chunk, "owner": owner, "shared": SHARED}
    name, page, heading, text, whose = db.execute(PASSAGE, values).fetchone()
    return Source(name, page, heading, text, score, whose)
