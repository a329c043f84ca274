"""How many tokens a text is to the embedding model: WordPiece with the model's own vocabulary.

As llama.cpp does it for BERT's models (llama-vocab.cpp, ``llm_tokenizer_wpm_session``), after Wu et
al., "Google's Neural Machine Translation System", 2016: text without accents and control
characters, in lower case; punctuation and Chinese characters are words of their own; of each word
the longest piece that the vocabulary has is taken, again and again; a word that can't be made is
one unknown token. The vocabulary is read from the model's GGUF file; a test compares with the
engine.
"""

from __future__ import annotations

import functools
import struct
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from goni_core import paths
from goni_core.contract import EMBEDDING_FILE

KEY = b"tokenizer.ggml.tokens"
MARK = "\u2581"
"""Begins a word's first piece in the vocabulary."""
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of GGUF's plain types (github.com/ggml-org/ggml, docs/gguf.md)."""
STRING, ARRAY = 8, 9
MOST = 1 << 20
"""Tokens, and bytes of one, at most."""
CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2FA1F), (0xF900, 0xFAFF))
ASCII = 0x7F


class Wordpiece:
    """Counts with one vocabulary."""

    def __init__(self, vocabulary: frozenset[str]) -> None:
        self._vocabulary = vocabulary
        self._longest = max(map(len, vocabulary), default=1)

    def count(self, text: str) -> int:
        """Tokens of ``text``, without those that begin and end every input."""
        return sum(self._pieces(word) for word in _words(text))

    def _pieces(self, word: str) -> int:
        word = MARK + word
        count = place = 0
        while place < len(word):
            stop = min(len(word), place + self._longest)
            while stop > place and word[place:stop] not in self._vocabulary:
                stop -= 1
            if stop == place:
                return 1
            count += 1
            place = stop
        return count


@functools.cache
def model() -> Wordpiece | None:
    """The embedding model's; None where its file has no vocabulary of this kind."""
    path = paths.models_dir() / EMBEDDING_FILE
    try:
        found = vocabulary(path)
    except (OSError, struct.error, ValueError):
        return None
    return Wordpiece(found) if any(token.startswith(MARK) for token in found) else None


def vocabulary(path: Path) -> frozenset[str]:
    """The tokens in the GGUF file at ``path``; empty when it has none. Raises OSError,
    ``struct.error`` or ValueError when it is no such file.
    """
    with path.open("rb") as source:
        magic, _version, _tensors, fields = struct.unpack("<4sIQQ", source.read(24))
        if magic != b"GGUF" or fields > MOST:
            raise ValueError("not a GGUF file")
        for _ in range(fields):
            key = _string(source)
            (kind,) = struct.unpack("<I", source.read(4))
            if key == KEY and kind == ARRAY:
                _inner, count = struct.unpack("<IQ", source.read(12))
                if count > MOST:
                    raise ValueError("too many tokens")
                return frozenset(_string(source).decode("utf-8", "replace") for _ in range(count))
            _skip(source, kind)
    return frozenset()


def _string(source: IO[bytes]) -> bytes:
    (size,) = struct.unpack("<Q", source.read(8))
    if size > MOST:
        raise ValueError("a string too long")
    return source.read(size)


def _skip(source: IO[bytes], kind: int) -> None:
    if kind == STRING:
        _string(source)
    elif kind == ARRAY:
        inner, count = struct.unpack("<IQ", source.read(12))
        if inner in SIZES:
            source.seek(SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(source, inner)
    elif kind in SIZES:
        source.seek(SIZES[kind], 1)
    else:
        raise ValueError("an unknown type")


def _words(text: str) -> Iterator[str]:
    word = ""
    for sign in _bare(text):
        kind = "L" if sign.isascii() and sign.isalnum() else unicodedata.category(sign)
        if kind[0] in "LN" and not _alone(ord(sign)):
            word += sign.lower()
        elif sign.isspace() or kind[0] == "Z":
            if word:
                yield word
            word = ""
        elif kind[0] == "P" or (kind[0] == "S" and ord(sign) < ASCII) or _alone(ord(sign)):
            if word:
                yield word
            word = ""
            yield sign.lower()
        elif kind[0] == "M" or kind in ("Cc", "Cf") or sign == "\ufffd":
            continue
        else:
            word += sign.lower()
    if word:
        yield word


def _bare(text: str) -> Iterator[str]:
    """Each sign's first in NFD, which is all that llama.cpp keeps of one."""
    return iter(text) if text.isascii() else (unicodedata.normalize("NFD", c)[0] for c in text)


def _alone(code: int) -> bool:
    return code > 0x2E7F and any(first <= code <= last for first, last in CJK)
