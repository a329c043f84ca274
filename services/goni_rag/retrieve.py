"""Search: the best passages for a question, by words and by meaning, fused.

    question -> words ---> candidates by FTS5 ----+
             -> vector --> candidates by signs ---+-> both scores of each -> one -> sources

The owner stands in each statement, beside the match itself, so that another person's passage is
never a candidate; so do the filters.

Fusion is a convex combination of both scores, each made comparable by what it can be at least and
is at most: Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval", ACM TOIS
2023.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goni_core.contract import Source
from goni_rag import lexical, results, semantic
from goni_rag.embed import Vector
from goni_rag.filters import ALL, Filters
from goni_rag.lexical import Question
from goni_rag.semantic import Semantic

FLOOR = 0.29
"""The cosine similarity from which on a passage without any of the words is shown. Whether what is
shown answers the question is judged elsewhere (``evidence``).
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
    def hit(self) -> bool:
        """Whether the passage has anything to do with the question: a word, or its meaning."""
        return self.words > 0 or self.meaning >= FLOOR


@dataclass(frozen=True)
class Candidates:
    """The passages that may answer a question, and what was asked."""

    passages: tuple[Found, ...]
    asked: Question

    @property
    def weight(self) -> float:
        """How much the meaning counts."""
        return meaning_weight(self.asked.language)


@dataclass(frozen=True)
class Hits:
    """What was found for a question: ``sources``, best first; what was asked, in words; the best
    passages with their scores.
    """

    sources: tuple[Source, ...]
    asked: Question
    best: tuple[Found, ...]


def search(
    db: sqlite3.Connection,
    near: Semantic,
    owner: str,
    query: str,
    vector: Vector | None,
    k: int,
    filters: Filters = ALL,
) -> list[Source]:
    """The best ``k`` sources for ``owner`` within ``filters``, best first.

    Without ``vector`` (no engine) only words count. ``near`` searches this database by meaning.
    """
    return list(look(db, near, owner, query, vector, k, filters).sources)


def look(
    db: sqlite3.Connection,
    near: Semantic,
    owner: str,
    query: str,
    vector: Vector | None,
    k: int,
    filters: Filters = ALL,
) -> Hits:
    """As :func:`search`, with what tells how good it is."""
    owners = filters.owners(owner)
    found = candidates(db, near, owners, query, vector, DEPTH, filters)
    hits = {one.chunk: one for one in found.passages if one.hit}
    ranked = fused(Candidates(tuple(hits.values()), found.asked))
    best = tuple(hits[chunk] for chunk, _ in ranked[:k])
    return Hits(tuple(results.sources(db, ranked, owners, filters, k)), found.asked, best)


def candidates(
    db: sqlite3.Connection,
    near: Semantic,
    owners: Sequence[str],
    query: str,
    vector: Vector | None,
    depth: int,
    filters: Filters = ALL,
) -> Candidates:
    """Every passage of ``owners`` within ``filters`` that is among the best ``depth`` of an owner
    by words or by meaning, with both scores.
    """
    asked = lexical.question(db, owners, query)
    found: list[Found] = []
    for owner in dict.fromkeys(owners):
        among = filters.allowed(db, owner)
        found += _of_owner(db, near, owner, asked, vector, depth, among)
    return Candidates(tuple(found), asked)


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
    among: NDArray[np.int64] | None,
) -> list[Found]:
    worded = lexical.candidates(db, owner, asked, depth, among)
    meant = dict(near.search(db, owner, vector, depth, among)) if vector else {}
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


METHODS = {"lexical": by_words, "semantic": by_meaning, "fused": fused}
"""The ways to rank, by the names that ``eval`` gives them."""
