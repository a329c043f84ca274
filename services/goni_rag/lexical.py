"""Passages with a question's words in them, scored by BM25 over name, heading and text.

    question -> content words -> each one's terms in the languages that the owner has, and compounds
    -> FTS5 for candidates, by owner -> their terms from the index -> scores

FTS5's own bm25 chooses the candidates. The scores are made here, because FTS5 counts over
everybody's passages, takes a word's variants for several words, and has fixed constants.

BM25 with fields: Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted
fields", CIKM 2004. Variants of a word as one: Pirkola, "The effects of query structure and
dictionary setups in dictionary-based cross-language information retrieval", SIGIR 1998.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goni_rag import words
from goni_rag.words import COMPOUNDING

K1 = 1.2
B = 0.75
FIELDS = (2.0, 1.5, 1.0)
"""Weights of name, heading and text."""
MOST_WORDS = 40
"""Words of a question that count."""
PART = 0.6
"""Weight of a word that is only part of a compound."""
MANY = 1000
"""Passages from which on their number says how much a word tells; a library of three says little
about words.
"""
LEAST_PART = 5
"""Letters of a word that is looked for inside compounds."""

MOST_ROWS = 30_000
"""Passages that FTS5 may have to look at: of a question's words the rarest choose the candidates,
and all of them score."""

MATCH = """
SELECT rowid FROM lexical
WHERE lexical MATCH :match AND rank MATCH 'bm25(2.0, 1.5, 1.0, 0.3)'
ORDER BY rank LIMIT :depth
"""
MATCH_AMONG = MATCH.replace("ORDER", "AND rowid IN (SELECT value FROM json_each(:among))\nORDER")
TERMS = """
SELECT l.rowid, l.name, l.heading, l.text FROM json_each(:chunks) asked
CROSS JOIN chunks c ON c.id = asked.value AND c.owner = :owner
CROSS JOIN lexical l ON l.rowid = c.id
"""
OWNER = "SELECT id, passages, terms FROM owners WHERE owner = ?"
SPOKEN = "SELECT EXISTS (SELECT 1 FROM chunks WHERE owner = ? AND language = ?)"
COUNT = "SELECT doc FROM vocabulary WHERE term = ?"


@dataclass(frozen=True)
class Word:
    """A word of the question: its variants, any of which is it, and what is looked for inside
    compounds ("" for nothing).
    """

    variants: tuple[str, ...]
    part: str = ""


@dataclass(frozen=True)
class Owner:
    """An owner's number in the terms, and how much there is."""

    number: int
    passages: int
    terms: int


@dataclass(frozen=True)
class Question:
    """What is asked: its words, rarest first; in how many passages each is; its weight in scores
    and in the share of the question that a passage has; the passages' mean length; the language,
    as far as can be told.
    """

    words: tuple[Word, ...]
    counts: tuple[int, ...]
    rarity: tuple[float, ...]
    weights: tuple[float, ...]
    mean: float
    language: str


def owner(db: sqlite3.Connection, name: str) -> Owner | None:
    """The owner called ``name``; None when nothing of theirs was ever indexed."""
    row = db.execute(OWNER, (name,)).fetchone()
    return Owner(*row) if row else None


def question(db: sqlite3.Connection, owners: Sequence[str], query: str) -> Question:
    """``query`` as words with weights, by what ``owners`` have together."""
    asked = words.language(query)
    codes = [code for code in words.STEMMERS if any(_speaks(db, one, code) for one in owners)]
    likely = asked or ("en" if "en" in codes or not codes else codes[0])
    if asked:
        codes = [asked, *(code for code in codes if code == "en" and asked != "en")][:2]
    content = words.content(query, asked)[:MOST_WORDS]
    found = [part for word in content for part in _parts(word, codes or ["en"])][: 2 * MOST_WORDS]
    known = [one for name in owners if (one := owner(db, name))]
    passages = sum(one.passages for one in known)
    counted = sorted(((_count(db, known, word), word) for word in found), key=lambda one: one[0])
    counts = tuple(count for count, _ in counted)
    rarity = tuple(_rarity(passages, count) for count in counts)
    weights = tuple(_rarity(max(passages, MANY), count) for count in counts)
    mean = sum(one.terms for one in known) / max(1, passages)
    return Question(
        tuple(word for _, word in counted), counts, rarity, weights, max(1.0, mean), likely
    )


def candidates(
    db: sqlite3.Connection,
    name: str,
    asked: Question,
    depth: int,
    among: NDArray[np.int64] | None = None,
) -> list[int]:
    """At most ``depth`` passages of the owner called ``name`` with any of the words; ``among``:
    only of these.
    """
    whose = owner(db, name)
    match = match_expression(asked, whose.number) if whose else ""
    if not match:
        return []
    values = {"match": match, "depth": depth}
    if among is None:
        return [row[0] for row in db.execute(MATCH, values)]
    values["among"] = json.dumps(among.tolist())
    return [row[0] for row in db.execute(MATCH_AMONG, values)]


def match_expression(asked: Question, number: int) -> str:
    """An FTS5 query for any of the words, every one quoted, so that nothing in it is an operator
    (https://sqlite.org/fts5.html#full_text_query_syntax); "" without any.
    """
    chosen = _choosing(asked)
    terms = [variant for word in chosen for variant in word.variants]
    parts = [words.trigrams(word.part) for word in chosen if word.part]
    alternatives = [f'{{name heading text}} : "{number}:{term}"' for term in dict.fromkeys(terms)]
    alternatives += [
        'grams : "' + " ".join(f"{number}:{gram}" for gram in part) + '"' for part in parts
    ]
    return " OR ".join(alternatives)


def scores(
    db: sqlite3.Connection, name: str, asked: Question, chunks: Iterable[int]
) -> dict[int, tuple[float, float]]:
    """The score of each of ``chunks`` that is the owner's, and the share of the question's words
    that is in it, by their weight; both 0 without any of the words.
    """
    values = {"chunks": json.dumps(list(chunks)), "owner": name}
    whose = owner(db, name)
    if whose is None or not asked.words:
        return {}
    found = {}
    for chunk, *fields in db.execute(TERMS, values):
        found[chunk] = _score(asked, whose.number, [field.split() for field in fields])
    return found


def _score(asked: Question, number: int, fields: Sequence[list[str]]) -> tuple[float, float]:
    counts = [Counter(field) for field in fields]
    length = len(fields[-1])
    norm = K1 * (1 - B + B * length / asked.mean)
    total = there = 0.0
    for word, rarity, weight in zip(asked.words, asked.rarity, asked.weights, strict=True):
        often = sum(
            boost * count.get(f"{number}:{variant}", 0)
            for boost, count in zip(FIELDS, counts, strict=True)
            for variant in word.variants
        )
        if not often and word.part:
            inside = sum(word.part in term for term in counts[-1])
            often = PART * inside
        if often:
            total += rarity * often * (K1 + 1) / (often + norm)
            there += weight
    return total, there / sum(asked.weights)


def _choosing(asked: Question) -> list[Word]:
    """The rarest words that are in :data:`MOST_ROWS` passages together, at least one."""
    chosen: list[Word] = []
    rows = 0
    for word, count in zip(asked.words, asked.counts, strict=True):
        rows += count
        if chosen and count and rows > MOST_ROWS:
            break
        chosen.append(word)
    return chosen


def _parts(word: str, codes: Sequence[str]) -> list[Word]:
    """``word`` in its parts, most often itself alone, each with its variants by language."""
    by_place = zip(*(words.of_word(word, code) for code in codes), strict=True)
    variants = [tuple(dict.fromkeys(terms)) for terms in by_place]
    compound = next((code for code in codes if code in COMPOUNDING), "")
    part = words.stem(word.lower(), compound) if compound and word.isalpha() else ""
    inside = part if len(variants) == 1 and len(part) >= LEAST_PART and part.isascii() else ""
    return [Word(terms, inside) for terms in variants]


def _speaks(db: sqlite3.Connection, name: str, code: str) -> bool:
    return bool(db.execute(SPOKEN, (name, code)).fetchone()[0])


def _count(db: sqlite3.Connection, known: Sequence[Owner], word: Word) -> int:
    """In how many passages of ``known`` the most frequent variant of ``word`` is."""
    found = [0]
    for variant in word.variants:
        rows = [db.execute(COUNT, (f"{one.number}:{variant}",)).fetchone() for one in known]
        found.append(sum(row[0] for row in rows if row))
    return max(found)


def _rarity(passages: int, count: int) -> float:
    """The inverse document frequency, never negative (Lucene's form)."""
    return math.log(1 + (passages - count + 0.5) / (count + 0.5))
