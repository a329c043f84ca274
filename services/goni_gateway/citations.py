"""Which words of which source each claim of an answer stands on.

A claim is a sentence of the answer with numbers in square brackets. The quote is the sentence of
that source which shares most of the claim's telling words, word for word, so that a person can
compare the two; a number that names no source, or one that has nothing in common with the claim,
is said to support nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from goni_core.contract import Source, plain

LONGEST = 100_000
"""Characters of an answer that are looked at."""
MOST = 50
LONGEST_CLAIM = 500
LONGEST_QUOTE = 300
_NUMBERS = re.compile(r"\s?\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")
_SENTENCE = re.compile(
    r"[^.!?。！？\n]+(?:[.!?](?!\s|$)[^.!?。！？\n]*)*[.!?。！？]*(?:\s*\[[\d,\s]{1,40}\])*"
)
_WORD = re.compile(r"\w{3,}|\d+|[\u3040-\u30ff\u4e00-\u9fff]")


@dataclass(frozen=True)
class Citation:
    """A claim, the number that it gives, and the words of that source; ``quote`` is empty when they
    have nothing in common.
    """

    n: int
    claim: str
    document: str
    page: int
    quote: str


def of(answer: str, sources: Sequence[Source]) -> list[dict[str, object]]:
    """The claims of ``answer`` with numbers in them, each with what its source says; ``sources``
    in the order of the prompt.
    """
    found: list[dict[str, object]] = []
    for claim, number in islice(_claims(answer[:LONGEST]), MOST):
        source = sources[number - 1] if 0 < number <= len(sources) else None
        if source is None:
            found.append(plain(Citation(number, claim, "", 0, "")))
        else:
            quote = _best(claim, source.text)
            found.append(plain(Citation(number, claim, source.document, source.page, quote)))
    return found


def _claims(answer: str) -> Iterator[tuple[str, int]]:
    for sentence in _SENTENCE.findall(answer):
        claim = " ".join(_NUMBERS.sub("", sentence).split())[:LONGEST_CLAIM]
        numbers = [int(n) for some in _NUMBERS.findall(sentence) for n in some.split(",")]
        for number in dict.fromkeys(numbers):
            if claim:
                yield claim, number


def _best(claim: str, text: str) -> str:
    """The sentence of ``text`` that shares most with ``claim``; "" when none shares anything."""
    wanted = _words(claim)
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(text)]
    scored = [(_shared(wanted, sentence), sentence) for sentence in sentences if sentence]
    score, sentence = max(scored, key=lambda pair: pair[0], default=(0.0, ""))
    return sentence[:LONGEST_QUOTE] if score else ""


def _shared(wanted: set[str], sentence: str) -> float:
    words = _words(sentence)
    return len(wanted & words) / math.sqrt(len(words) + 5)


def _words(text: str) -> set[str]:
    return {word[:6] for word in _WORD.findall(text.lower())}
