"""Search: the best passages for a question, by words and by meaning, fused.

    question -> words ---> candidates by FTS5 ----+
             -> vector --> candidates by signs ---+-> both scores of each -> one -> sources

The owner stands in each statement, beside the match itself, so that another person's passage is
never a candidate. A passage counts only if enough of the question is in it (:data:`FLOOR`).

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

FLOOR = 0.29
SHARE = 0.65
LEAST_SHARE = 0.2
"""A passage answers when its similarity and :data:`SHARE` times the weighed share of the question's
words that is in it reach the floor together; while it has no vector, when that share alone reaches
its own. Measured with all-MiniLM-L6-v2 (tests/questions.py): 40 of 41 answered questions reach it,
of 16 on other things none does. Questions for what such documents could say, but don't, do: about
half stay above it.
"""
DEPTH = 100
"""Candidates that each method gives."""
MEANING = {"en": 0.6}
MEANING_LATIN, MEANING_OTHER = 0.4, 0.2
"""How much the meaning counts, the words counting for the rest, by the question's language: the
embedding model was trained on English, knows some words of languages in Latin letters and little
else. Measured on XQuAD (nDCG@10, words / meaning / fused): English 0.966 / 0.936 / 0.974, German
0.928 / 0.671 / 0.942; reciprocal ranks gave 0.968 and 0.913 at best. On 500 documents of Cranfield:
0.579 / 0.593 / 0.644, reciprocal ranks 0.630.
"""
OTHER_SCRIPTS = frozenset({"ar", "el", "hi", "ja", "ko", "ru", "th", "zh"})
UNLIKE = 0.0
"""The cosine similarity that counts as nothing in common."""

PASSAGE = """
SELECT d.name, c.page, c.heading, c.text FROM chunks c
JOIN documents d ON d.id = c.document AND d.owner = c.owner
WHERE c.id = :chunk AND c.owner IN (:owner, :shared)
"""


@dataclass(frozen=True)
class Found:
    """A passage with both scores: bm25 (0: none of the words) and cosine similarity (-1: it has no
    vector), and the share of the question's words that is in it.
    """

    chunk: int
    words: float
    meaning: float
    share: float = 0.0

    @property
    def telling(self) -> bool:
        """Whether the passage has to do with the question."""
        if self.meaning < 0 and self.share >= LEAST_SHARE:
            return True
        return max(0.0, self.meaning) + SHARE * self.share >= FLOOR


@dataclass(frozen=True)
class Candidates:
    """The passages that may answer a question, and how much their meaning counts."""

    passages: tuple[Found, ...]
    weight: float


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
    telling = tuple(one for one in found.passages if one.telling)
    best = fused(Candidates(telling, found.weight))[:k]
    return [_source(db, owner, chunk, score) for chunk, score in best]


def candidates(
    db: sqlite3.Connection,
    near: Semantic,
    owners: Sequence[str],
    query: str,
    vector: Vector | None,
    depth: int,
) -> Candidates:
    """Every passage of ``owners`` that is among the best ``depth`` of an owner by words or by
    meaning, with both scores.
    """
    asked = lexical.question(db, owners, query)
    found: list[Found] = []
    for owner in dict.fromkeys(owners):
        found += _of_owner(db, near, owner, asked, vector, depth)
    return Candidates(tuple(found), meaning_weight(asked.language))


def meaning_weight(language: str) -> float:
    """How much the meaning counts for a question in ``language``."""
    other = MEANING_OTHER if language in OTHER_SCRIPTS else MEANING_LATIN
    return MEANING.get(language, other)


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
    nothing = (0.0, 0.0)
    return [
        Found(chunk, words, meant.get(chunk, -1.0), share)
        for chunk in chunks
        for words, share in [scores.get(chunk, nothing)]
    ]


def by_words(found: Candidates) -> list[tuple[int, float]]:
    """The passages with a word of the question, best first."""
    return ranked({one.chunk: one.words for one in found.passages if one.words > 0})


def by_meaning(found: Candidates) -> list[tuple[int, float]]:
    """The passages with a vector, nearest first."""
    return ranked({one.chunk: one.meaning for one in found.passages if one.meaning > -1})


def fused(found: Candidates) -> list[tuple[int, float]]:
    """The passages by both scores together, from 0 to 1; best first, equal ones by id."""
    most = max((one.words for one in found.passages), default=0.0) or 1.0
    nearest = max((one.meaning for one in found.passages), default=0.0)
    span = nearest - UNLIKE if nearest > UNLIKE else 1.0
    scores = {
        one.chunk: (1 - found.weight) * one.words / most
        + found.weight * max(0.0, one.meaning - UNLIKE) / span
        for one in found.passages
    }
    return ranked(scores)


def ranked(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    """Best first, equal ones by id."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _source(db: sqlite3.Connection, owner: str, chunk: int, score: float) -> Source:
    values = {"chunk": chunk, "owner": owner, "shared": SHARED}
    name, page, heading, text = db.execute(PASSAGE, values).fetchone()
    return Source(name, page, heading, text, score)


METHODS = {"lexical": by_words, "semantic": by_meaning, "fused": fused}
"""The ways to rank, by the names that ``eval`` gives them."""
"""The ways to rank, by the names that ``eval`` gives them."""
