"""From a text to the terms that it is found by, and a guess of the language it is in.

    text -> words, parts of identifiers -> stem of the language -> without accents -> terms
         -> runs of scripts that don't part words (Chinese, Japanese, Korean, Thai) -> bigrams

Words are stemmed by Snowball (https://snowballstem.org). Bigrams: Nie, Gao, Zhang and Zhou, "On the
use of words and n-grams for Chinese information retrieval", IRAL 2000. Long words of languages that
write compounds together are also kept as trigrams, in which a shorter word is found as a phrase.
"""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from collections.abc import Iterator

import snowballstemmer

from goni_rag.stopwords import LANGUAGES

VERSION = 2
"""Of the terms: another one's are made anew."""

STEMMERS = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
STEMMING = threading.Lock()
"""A stemmer keeps the word that it works on in itself."""
COMPOUNDING = frozenset({"de", "nl", "sv", "da"})
"""Languages that write compounds as one word."""
LONG = 9
"""Letters from which on a word may be a compound worth looking into."""
LONGEST_WORD = 64
SOLID = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+"
)
"""A run of a script without blanks between words; Korean has them, between words with particles."""
LETTER = r"[\w\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff]"
WORD = re.compile(rf"{LETTER}+(?:-{LETTER}+|(?<=\d)[.,]\d+)*")
"""A word with what is tied to it; Indic vowels and accents are no letters for ``\\w``."""
MARK = re.compile(r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f]")
JOINT = re.compile(r"[-_.,]")
PIECE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
CAMEL = re.compile(r"[a-z][A-Z]")
SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u3400-\u9fff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
)
MOST_JOINED = 4
"""Pieces of a word that are also kept as one: "Wi-Fi" is found by "wifi"."""
SAMPLE = 4000
"""Characters that a guess of the language looks at."""


def language(text: str) -> str:
    """The ISO 639-1 code of the language that ``text`` seems to be in, "" when nothing tells."""
    sample = text[:SAMPLE].lower()
    for code, script in SCRIPTS:
        if len(script.findall(sample)) * 4 > len(sample) // 2:
            return code
    words = WORD.findall(sample)
    votes = {code: sum(word in stop for word in words) for code, stop in LANGUAGES.items()}
    best = max(votes, key=lambda code: votes[code])
    return best if votes[best] else ""


def terms(text: str, code: str) -> list[str]:
    """The terms of ``text``, in its order, stemmed as the language ``code`` does."""
    return [term for word in _words(text) for term in _of(word, code)]


def content(text: str, code: str) -> list[str]:
    """The words of a question that tell something, in small letters, each once; all of them when
    none does.
    """
    stop = LANGUAGES.get(code, frozenset()) | LANGUAGES["en"]
    words = list(dict.fromkeys(_words(text)))
    return [word for word in words if word.lower() not in stop]


def of_word(word: str, code: str) -> list[str]:
    """The terms of one word of :func:`content`; in bigrams only, where there are any."""
    found = _of(word, code)
    if SOLID.fullmatch(word) and len(word) > 1:
        return [term for term in found if len(term) > 1]
    return found


def grams(text: str, code: str) -> list[str]:
    """The trigrams of the long words of ``text``, a "." between words; none in a language that
    doesn't write compounds.
    """
    if code not in COMPOUNDING:
        return []
    found = []
    for word in _words(text):
        if len(word) >= LONG and word.isalpha():
            found += [*trigrams(folded(word)), "."]
    return found


def gram(letters: str) -> str:
    """A trigram as a term: no word is the same, and none is counted or read with the other."""
    return f":{letters}"


def trigrams(word: str) -> list[str]:
    """All runs of three letters, in order."""
    return [word[start : start + 3] for start in range(len(word) - 2)]


def folded(word: str) -> str:
    """``word`` in small letters without accents: "Straße" and "STRASSE" are the same."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return unicodedata.normalize("NFC", MARK.sub("", plain))


@functools.lru_cache(1 << 17)
def stem(word: str, code: str) -> str:
    """``word``, in small letters, without its ending and accents."""
    stemmer = _stemmer(code)
    if stemmer is None or word.isdigit():
        return folded(word)
    with STEMMING:
        return folded(stemmer.stemWord(word))


def _words(text: str) -> Iterator[str]:
    """Runs of letters and digits with what ties them together, and runs of solid script."""
    text = unicodedata.normalize("NFKC", text)
    start = 0
    for run in SOLID.finditer(text):
        yield from WORD.findall(text, start, run.start())
        yield run[0]
        start = run.end()
    yield from WORD.findall(text, start)


def _of(word: str, code: str) -> list[str]:
    word = word[: LONGEST_WORD if not SOLID.match(word) else None]
    if SOLID.match(word):
        return [*word, *(word[start : start + 2] for start in range(len(word) - 1))]
    if word.isalpha() and not CAMEL.search(word):
        return [stem(word.lower(), code)]
    pieces = [piece for part in JOINT.split(word) if part for piece in _pieces(part)]
    found = [stem(piece.lower(), code) for piece in pieces]
    if 1 < len(pieces) <= MOST_JOINED:
        found.append(folded("".join(pieces)))
    return found


def _pieces(part: str) -> list[str]:
    """``parseHTTPHeader`` as its three words; other words whole."""
    return PIECE.findall(part) if CAMEL.search(part) and part.isascii() else [part]


@functools.cache
def _stemmer(code: str) -> snowballstemmer.Stemmer | None:
    name = STEMMERS.get(code or "en")
    return snowballstemmer.stemmer(name) if name else None
