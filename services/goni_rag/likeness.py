"""Passages that say the same in nearly the same words: a second scan, a copy that went through
another program. What an owner has already is not indexed again (``store``).

    words -> MinHash over the small ones, with all numbers and names -> four keys
          -> the few passages that share one -> compared word by word

Two invoices that differ in a number, or two letters that differ in a name, never are the same: both
are part of the keys, so that they don't even meet. What may differ is how small words are spelt,
where they are parted, and a stop word here and there.

MinHash: Broder, "On the resemblance and containment of documents", SEQUENCES 1997; in bands:
Gionis, Indyk and Motwani, "Similarity search in high dimensions via hashing", VLDB 1999.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import zlib
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from goni_rag import words
from goni_rag.stopwords import LANGUAGES

SCHEMA = """
-- Keys of passages, those of near-identical ones being the same; owner is its number in ``owners``.
CREATE TABLE IF NOT EXISTS likenesses (
    owner INTEGER NOT NULL,
    key INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    PRIMARY KEY (owner, key, chunk)
) STRICT, WITHOUT ROWID;
"""
BANDS, ROWS = 4, 4
LEAST = 12
"""Words from which on a passage can be nearly the same as another."""
MOST = 8
"""Passages that are compared word by word."""
DIFFERENT = 0.1
"""The share of the words that may be different."""
SPELT = 0.7
"""How alike the letters of two spellings of a word are at least."""
WORD = re.compile(r"\w+")
STOP = frozenset().union(*LANGUAGES.values())
NO = """
no not nor without kein keine keiner keinen nicht ohne ne pas sans non senza sin ni não sem niet
geen inte utan ikke uden nie bez nu fără
"""
NEGATIONS = frozenset(NO.split())
PRIME = (1 << 31) - 1
_random = np.random.default_rng(1997)
FACTORS = _random.integers(1, PRIME, (BANDS * ROWS, 1), dtype=np.uint64)
OFFSETS = _random.integers(0, PRIME, (BANDS * ROWS, 1), dtype=np.uint64)

NEAR = """
SELECT DISTINCT c.id, c.text FROM likenesses l
JOIN chunks c ON c.id = l.chunk AND c.twin IS NULL
WHERE l.owner = :number AND l.key IN (:key0, :key1, :key2, :key3)
ORDER BY c.id LIMIT :most
"""


def find(db: sqlite3.Connection, number: int, text: str) -> int | None:
    """The passage of the owner with ``number`` that says the same as ``text``, if one does."""
    found = keys(text)
    if not found:
        return None
    values = {f"key{place}": key for place, key in enumerate(found)}
    for chunk, other in db.execute(NEAR, {**values, "number": number, "most": MOST}):
        if alike(text, other):
            return int(chunk)
    return None


def note(db: sqlite3.Connection, number: int, chunk: int, text: str) -> None:
    """Others may be like this passage from now on."""
    rows = [(number, key, chunk) for key in keys(text)]
    db.executemany("INSERT OR IGNORE INTO likenesses (owner, key, chunk) VALUES (?, ?, ?)", rows)


def drop(db: sqlite3.Connection, number: int, chunk: int, text: str) -> None:
    """The passage is gone."""
    rows = [(number, key, chunk) for key in keys(text)]
    db.executemany("DELETE FROM likenesses WHERE owner = ? AND key = ? AND chunk = ?", rows)


def keys(text: str) -> list[int]:
    """:data:`BANDS` numbers of 63 bits, of which near-identical texts share at least one, nearly
    always; none for a short text.
    """
    all_words = WORD.findall(text)
    small = {words.folded(word) for word in all_words if not _fixed(word)} - STOP
    if len(all_words) < LEAST or not small:
        return []
    hashes = np.array([zlib.crc32(word.encode()) & PRIME for word in small], np.uint64)
    least = ((hashes * FACTORS + OFFSETS) % np.uint64(PRIME)).min(axis=1).reshape(BANDS, ROWS)
    fixed = " ".join(filter(_fixed, all_words)).encode()
    return [_key(bytes([band]) + row.tobytes() + fixed) for band, row in enumerate(least)]


def _key(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest()) >> 1


def alike(one: str, other: str) -> bool:
    """Whether both have the same names and numbers in the same order, and nearly the same words."""
    first, second = WORD.findall(one), WORD.findall(other)
    if [*filter(_fixed, first)] != [*filter(_fixed, second)]:
        return False
    first, second = [*map(words.folded, first)], [*map(words.folded, second)]
    room = DIFFERENT * max(len(first), len(second))
    for change, start, stop, begin, end in SequenceMatcher(
        None, first, second, False
    ).get_opcodes():
        if change == "equal":
            continue
        room -= max(stop - start, end - begin)
        if room < 0 or not _harmless(first[start:stop], second[begin:end]):
            return False
    return True


def _harmless(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether it is only written otherwise, or says nothing."""
    if STOP.issuperset((*before, *after)):
        return NEGATIONS.isdisjoint((*before, *after))
    first, second = "".join(before), "".join(after)
    return SequenceMatcher(None, first, second, autojunk=False).ratio() >= SPELT


def _fixed(word: str) -> bool:
    """Whether it is a name, or has a number in it: never to be taken for another."""
    return word[0].isupper() or not word.isalpha()
