"""Search: the best passages for a question, by words and by meaning, fused.

    question -> content words -> FTS5 bm25 ----+
             -> vector -------> nearest vectors +-> floor -> reciprocal rank fusion -> sources

The owner stands in each statement, beside the match itself, so that another person's passage is
never a candidate. A passage counts only with a content word of the question in it or with a
similarity of at least :data:`FLOOR`.

Fusion: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
Rank Learning Methods", SIGIR 2009.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from goni_core.contract import Source
from goni_rag.embed import Vector
from goni_rag.folders import SHARED
from goni_rag.stopwords import STOPWORDS

FLOOR = 0.25
"""Least cosine similarity of a passage that shares no word with the question. Measured with
all-MiniLM-L6-v2 on household texts: of 19 paraphrased questions 17 reach it with their passage
(most have 0.35 and more), of 18 unrelated ones 15 stay below it with every passage.
"""
DEPTH = 100
"""Candidates that each method gives."""
RANK_BIAS = 60
"""The k of the paper: how little the very first ranks outweigh the next ones."""
WORD = re.compile(r"\w+")
MOST_WORDS = 40

LEXICAL = """
SELECT c.id FROM lexical
JOIN chunks c ON c.id = lexical.rowid AND c.owner IN (:owner, :shared)
WHERE lexical MATCH :match
ORDER BY bm25(lexical, 2.0, 1.5, 1.0), c.id LIMIT :depth
"""
SEMANTIC = """
SELECT near.chunk, 1.0 - near.distance FROM (
    SELECT chunk, distance FROM vectors
    WHERE embedding MATCH :vector AND k = :depth AND owner = :owner
) near
JOIN chunks c ON c.id = near.chunk AND c.owner = :owner
WHERE near.distance <= :farthest
"""
PASSAGE = """
SELECT d.name, c.page, l.heading, l.text FROM chunks c
JOIN documents d ON d.id = c.document AND d.owner = c.owner
JOIN lexical l ON l.rowid = c.id
WHERE c.id = :chunk AND c.owner IN (:owner, :shared)
"""


def search(
    db: sqlite3.Connection, owner: str, query: str, vector: Vector | None, k: int
) -> list[Source]:
    """The best ``k`` passages of ``owner`` and of the shared folder, best first.

    Without ``vector`` (no engine) only words count.
    """
    lists = [lexical(db, owner, query)]
    if vector:
        lists.append(semantic(db, owner, vector))
    best = fused(lists)[:k]
    return [_source(db, owner, chunk, score) for chunk, score in best]


def lexical(db: sqlite3.Connection, owner: str, query: str) -> list[int]:
    """Passages with at least one of the query's content words, best first."""
    match = match_expression(query)
    if not match:
        return []
    values = {"match": match, "owner": owner, "shared": SHARED, "depth": DEPTH}
    return [row[0] for row in db.execute(LEXICAL, values)]


def semantic(db: sqlite3.Connection, owner: str, vector: Vector) -> list[int]:
    """Passages near in meaning, nearest first."""
    found: list[tuple[float, int]] = []
    for whose in sorted({owner, SHARED}):
        values = {"vector": vector, "depth": DEPTH, "owner": whose, "farthest": 1.0 - FLOOR}
        found += [(-similarity, chunk) for chunk, similarity in db.execute(SEMANTIC, values)]
    return [chunk for _, chunk in sorted(found)[:DEPTH]]


def match_expression(query: str) -> str:
    """An FTS5 query for any of ``query``'s content words, every one quoted, so that nothing in it
    is an operator (https://sqlite.org/fts5.html#full_text_query_syntax); "" without any.
    """
    words = dict.fromkeys(WORD.findall(query.lower()))
    telling = [word for word in words if word not in STOPWORDS]
    return " OR ".join(f'"{word}"' for word in telling[:MOST_WORDS])


def fused(lists: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    """Several rankings as one, with scores; best first, equal ones by id."""
    scores: dict[int, float] = {}
    for ranking in lists:
        for rank, chunk in enumerate(ranking, start=1):
            scores[chunk] = scores.get(chunk, 0.0) + 1.0 / (RANK_BIAS + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _source(db: sqlite3.Connection, owner: str, chunk: int, score: float) -> Source:
    values = {"chunk": chunk, "owner": owner, "shared": SHARED}
    name, page, heading, text = db.execute(PASSAGE, values).fetchone()
    return Source(name, page, heading, text, score)
