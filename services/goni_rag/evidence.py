"""Do the documents contain the answer, or only what is near to it?

    question, best sources -> sentences, and the question without each of its words -> vectors
    -> the sentence that fits best, and the question without what it has -> one more vector
    -> how well both fit -> one number -> found or not

A passage is near because it speaks of the same thing, or says the same of another thing. What tells
these from an answer is looked for in single sentences: how much of the question's meaning and words
the best of them has; whether words are missing that the documents use elsewhere; whether each word
of the question makes it more like the sentence; and whether what is asked is in it even without
the words that name the thing. The last two ask the embedding model by leaving words out: Li,
Monroe and Jurafsky, "Understanding neural networks through representation erasure",
arXiv 1612.08220, 2016.

The numbers become one by logistic regression (``calibration``), fitted by tests.bench.fit_evidence
to households that the measuring ones have nothing in common with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from goni_core.contract import Source
from goni_rag import calibration, chunk, words
from goni_rag.embed import Embedder, Vector
from goni_rag.lexical import Question
from goni_rag.retrieve import Hits

SECONDS = 5.0
"""How long a search waits for the vectors; without them words alone decide."""
PASSAGES, SENTENCES, LEFT_OUT = 4, 24, 8
"""Sources that are looked at, sentences of them all, words that are left out of the question."""
LONGEST = 60
"""Tokens of a sentence."""
SHORT = 16
"""Characters of what is no sentence but the beginning of one ("Mr.")."""
MODEL_LANGUAGE = "en"
LEAST_SHARE = 0.5
"""Of the question's words, by weight, when there are no vectors."""
END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """A word of the question: as it stands there, its terms, its weight, and whether the documents
    have it at all.
    """

    text: str
    terms: frozenset[str]
    weight: float
    known: bool


@dataclass(frozen=True)
class Sentence:
    """A sentence, its terms, and those of the passage, heading and name that it stands in."""

    text: str
    terms: frozenset[str]
    around: frozenset[str]


@dataclass(frozen=True)
class Gathered:
    """What the judgement rests on; ``without`` is the question without each of its ``words``;
    ``foreign``: it isn't in the embedding model's own language.
    """

    query: str
    foreign: bool
    words: tuple[Word, ...]
    without: tuple[str, ...]
    sentences: tuple[Sentence, ...]

    @property
    def texts(self) -> list[str]:
        """All that has to be embedded."""
        return [*self.without, *(sentence.text for sentence in self.sentences)]


async def found(embedder: Embedder, query: str, vector: Vector | None, hits: Hits) -> bool:
    """Whether ``hits`` seem to contain the answer to ``query``."""
    gathered = gather(query, hits.asked, hits.sources)
    if not gathered.sentences:
        return False
    if vector and (numbers := await _features(embedder, gathered, vector)):
        return probability(numbers) >= calibration.THRESHOLD
    return _best_share(gathered) >= LEAST_SHARE


async def _features(
    embedder: Embedder, gathered: Gathered, vector: Vector
) -> dict[str, float] | None:
    """The features of ``gathered``; None when the engine doesn't give all vectors in time."""
    asked = np.frombuffer(vector, "<f4")
    rows = await embedder.within(gathered.texts, SECONDS)
    if not all(rows):
        return None
    vectors = np.stack([np.frombuffer(row, "<f4") for row in rows if row])
    place = best(gathered, asked, vectors)
    (rest,) = await embedder.within([rest_of(gathered, place)], SECONDS)
    if not rest:
        return None
    return features(gathered, place, asked, vectors, np.frombuffer(rest, "<f4"))


def probability(given: Mapping[str, float]) -> float:
    """That an answer with these features is one."""
    odds = calibration.BIAS
    odds += sum(weight * given[name] for name, weight in calibration.WEIGHTS.items())
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))


def gather(query: str, asked: Question, sources: Sequence[Source]) -> Gathered:
    """What has to be known of ``query`` and the best ``sources``."""
    code = asked.language
    given = tuple(_words(query, asked))
    without = tuple(_without(query, [word]) for word in given[:LEFT_OUT])
    sentences = [one for source in sources[:PASSAGES] for one in _sentences(source, code)]
    foreign = code != MODEL_LANGUAGE
    return Gathered(query, foreign, given, without, tuple(sentences[:SENTENCES]))


def _words(query: str, asked: Question) -> Iterator[Word]:
    weights: dict[str, tuple[float, int]] = {}
    for one, weight, count in zip(asked.words, asked.weights, asked.counts, strict=True):
        weights |= dict.fromkeys(one.variants, (weight, count))
    for text in words.content(query, words.language(query)):
        terms = frozenset(words.of_word(text, asked.language)) | set(words.of_word(text, "en"))
        known = [weights[term] for term in terms if term in weights]
        if not known:
            continue
        weight, count = max(known, key=lambda pair: pair[1])
        yield Word(text, terms, weight, count > 0)


def _without(query: str, gone: Iterable[Word]) -> str:
    for word in gone:
        query = re.sub(rf"(?<!\w){re.escape(word.text)}(?!\w)", " ", query, flags=re.IGNORECASE)
    return " ".join(query.split()) or "?"


def _sentences(source: Source, code: str) -> Iterator[Sentence]:
    title = PurePosixPath(source.document).stem
    around = frozenset(_terms(f"{title}\n{source.heading}\n{source.text}", code))
    near = frozenset(_terms(f"{title}\n{source.heading}", code))
    for text in sentences(source.text):
        clipped = chunk.clipped(text, LONGEST)
        yield Sentence(clipped, frozenset(_terms(clipped, code)) | near, around)


def sentences(text: str) -> Iterator[str]:
    """``text`` cut at the ends of sentences and lines."""
    begun = ""
    for part in END.split(text):
        begun = f"{begun} {part}".strip()
        if len(begun) >= SHORT or (begun and not begun.isascii()):
            yield begun
            begun = ""
    if begun:
        yield begun


def _terms(text: str, code: str) -> set[str]:
    return {*words.terms(text, code), *words.terms(text, "en")}


def _share(given: Sequence[Word], terms: frozenset[str]) -> float:
    """The weighed share of the words that is in ``terms``."""
    there = _weight(word for word in given if word.terms & terms)
    return there / (_weight(given) or 1.0)


def _weight(some: Iterable[Word]) -> float:
    return sum(word.weight for word in some)


def _best_share(gathered: Gathered) -> float:
    return max(_share(gathered.words, one.around) for one in gathered.sentences)


def best(gathered: Gathered, asked: Numbers, vectors: Numbers) -> int:
    """Which sentence fits best; ``vectors`` are those of :attr:`Gathered.texts`, ``asked`` is the
    question's own.
    """
    meaning = vectors[len(gathered.without) :] @ asked
    shares = np.array([_share(gathered.words, one.terms) for one in gathered.sentences])
    return int(np.argmax(meaning + shares / 2))


def rest_of(gathered: Gathered, place: int) -> str:
    """The question without the words that the sentence at ``place`` has."""
    terms = gathered.sentences[place].terms
    return _without(gathered.query, (word for word in gathered.words if word.terms & terms))


def features(
    gathered: Gathered, place: int, asked: Numbers, vectors: Numbers, rest: Numbers
) -> dict[str, float]:
    """What tells an answer in the sentence at ``place``; ``rest`` is the vector of
    :func:`rest_of`.
    """
    left_out, rows = vectors[: len(gathered.without)], vectors[len(gathered.without) :]
    sentence, row = gathered.sentences[place], rows[place]
    others = [n for n, one in enumerate(gathered.sentences) if one.text != sentence.text]
    meaning, resting = float(row @ asked), rows @ rest
    whole = _weight(gathered.words) or 1.0
    lacking = [word for word in gathered.words if not word.terms & sentence.around]
    known = [word for word in lacking if word.known]
    return {
        "meaning": meaning,
        "around": 1.0 - _weight(lacking) / whole,
        "missing": _weight(known) / whole,
        "support": min((meaning - float(row @ one) for one in left_out), default=0.0),
        "rest": float(resting[place]),
        "lead": float(resting[place] - (resting[others].mean() if others else 0.0)),
        "foreign": float(gathered.foreign),
        "foreign meaning": gathered.foreign * meaning,
    }
