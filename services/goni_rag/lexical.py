"""Passages with a question's words in them, scored by BM25 over name, heading and text.

    question -> content words -> each one's terms in the languages that the owner has, and compounds
    -> the rare ones' passages (``postings``), by owner -> the promising ones' terms -> scores

FTS5's own bm25 isn't used: it counts over everybody's passages, takes a word's variants for several
words, has fixed constants, and reads every passage of every word before it ranks one. Here the
rarest words choose, as many as are in :data:`~goni_rag.postings.ROWS` passages together, and all of
them score: what only has the question's common words could hardly win (the idea of MaxScore: Turtle
and Flood, "Query evaluation: strategies and optimizations", IP&M 1995).

BM25 with fields: Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted
fields", CIKM 2004. Variants of a word as one: Pirkola, "The effects of query structure and
dictionary setups in dictionary-based cross-language information retrieval", SIGIR 1998.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goni_rag import postings, words
from goni_rag.postings import ROWS, Ids, Postings
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

PROMISING = 300
"""Passages, at least, whose scores are computed."""
ALL_OF = 1000
"""Passages up to which all that a question is limited to get scores."""
COMMON = 2
"""Common words that decide between passages of rare ones where there are too many of these."""

TERMS = """
SELECT l.rowid, l.name, l.heading, l.text FROM json_each(:chunks) asked
CROSS JOIN chunks c ON c.id = asked.value AND c.owner = :owner
CROSS JOIN lexical l ON l.rowid = c.id
"""
OWNER = "SELECT id, passages, terms FROM owners WHERE owner = ?"
SPOKEN = "SELECT EXISTS (SELECT 1 FROM chunks WHERE owner = ? AND language = ?)"


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
    lists = [postings.of(db, one.number) for one in known]
    counted = sorted(((_count(lists, word), word) for word in found), key=lambda one: one[0])
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
    among: Ids | None = None,
) -> list[int]:
    """At most ``depth`` passages of the owner called ``name`` with any of the words, best first;
    ``among``: only of these.
    """
    whose = owner(db, name)
    if whose is None or not asked.words:
        return []
    near = among
    if near is None or len(near) > ALL_OF:
        most = max(PROMISING, 2 * depth)
        near = _promising(postings.of(db, whose.number, among), asked, most)
    found = scores(db, name, asked, map(int, near))
    best = sorted((-score, chunk) for chunk, (score, _) in found.items() if score > 0)
    return [chunk for _, chunk in best[:depth]]


def _promising(lists: Postings, asked: Question, most: int) -> Ids:
    """The ``most`` passages that the rare words alone would rank first."""
    pairs = list(zip(asked.words, asked.rarity, strict=True))
    rare = _rare(asked)
    looked_at = sum(asked.counts[: rare or 1])
    if rare:
        gains = [_gain(lists, word, rarity) for word, rarity in pairs[:rare]]
    else:  # all are common: the newest passages with the rarest
        newest = lists.matching(lists.quoted(asked.words[0].variants), looked_at)
        gains = [(newest, np.full(len(newest), asked.rarity[0]))]
    ids, which = np.unique(np.concatenate([ids for ids, _ in gains]), return_inverse=True)
    together = np.concatenate([gain for _, gain in gains])
    total: NDArray[np.float64] = np.bincount(which, together, len(ids)).astype(np.float64)
    if len(ids) > most:
        base = lists.quoted([term for word, _ in pairs[: rare or 1] for term in word.variants])
        for word, rarity in pairs[rare or 1 :][:COMMON]:
            both = lists.matching(f"({base}) AND ({lists.quoted(word.variants)})", looked_at)
            total[np.isin(ids, both)] += rarity
    best: Ids = ids[np.lexsort((-ids, -total))[:most]]
    return best


def _rare(asked: Question) -> int:
    """How many of the words, rarest first, are in :data:`ROWS` passages together."""
    rows = 0
    for place, count in enumerate(asked.counts):
        rows += count
        if rows > ROWS:
            return place
    return len(asked.counts)


def _gain(lists: Postings, word: Word, rarity: float) -> tuple[Ids, NDArray[np.float64]]:
    """The passages with ``word``, and what it adds to the score of each, its length aside."""
    found = lists.occurrences(word.variants)
    ids, often = found.ids, found.often @ np.array(FIELDS[::-1])
    if word.part:
        inside = np.setdiff1d(lists.inside(words.trigrams(word.part)), ids)
        ids, often = np.append(ids, inside), np.append(often, np.full(len(inside), PART))
    return ids, rarity * often * (K1 + 1) / (often + K1)


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
    wanted = [[f" {whose.number}:{term} " for term in word.variants] for word in asked.words]
    return {
        chunk: _score(asked, wanted, [_apart(field) for field in fields])
        for chunk, *fields in db.execute(TERMS, values)
    }


def _apart(terms: str) -> str:
    """``terms`` so that each has blanks of its own around it: ``str.count`` finds them all."""
    return f" {terms.replace(' ', '  ')} " if terms else ""


def _score(
    asked: Question, wanted: Sequence[Sequence[str]], fields: Sequence[str]
) -> tuple[float, float]:
    text = fields[-1]
    length = text.count("  ") + bool(text)
    norm = K1 * (1 - B + B * length / asked.mean)
    total = there = 0.0
    for place, (word, variants) in enumerate(zip(asked.words, wanted, strict=True)):
        often = sum(
            boost * field.count(variant)
            for boost, field in zip(FIELDS, fields, strict=True)
            if field
            for variant in variants
        )
        if not often and word.part in text and word.part:
            often = PART * sum(word.part in term for term in set(text.split()))
        if often:
            total += asked.rarity[place] * often * (K1 + 1) / (often + norm)
            there += asked.weights[place]
    return total, there / sum(asked.weights)


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


def _count(known: Sequence[Postings], word: Word) -> int:
    """In how many passages of ``known`` the most frequent variant of ``word`` is, about."""
    return max(sum(lists.count(variant) for lists in known) for variant in word.variants)


def _rarity(passages: int, count: int) -> float:
    """The inverse document frequency, never negative (Lucene's form)."""
    return math.log(1 + (passages - count + 0.5) / (count + 0.5))
