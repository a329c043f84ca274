"""all-MiniLM-L6-v2 computed in plain NumPy: what llama.cpp's embeddings are measured against.

Tokenizer and network are written from the model's own description (Devlin et al. 2018; tokenizer
and pooling as the files of sentence-transformers say) and share no code with the conversion.

    python3 -m tests.minilm > services/goni_engine/golden.json

writes the numbers that the engine's self-test expects.
"""

from __future__ import annotations

import json
import math
import string
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image import embedding, locked, safetensors

Array = NDArray[Any]
LAYERS, HEADS = 6, 12
GOLDEN = (
    "The boiler is serviced every October by the same plumber.",
    "Goni answers questions about the household's own documents.",
    "Wie lange haben wir noch Garantie auf die Waschmaschine? Señor Müller fragt: 17,5 %!",
)
_erf = np.vectorize(math.erf, otypes=[np.float64])


class Reference:
    """The model in the folder ``model``; :meth:`embed` gives unit vectors in double precision."""

    def __init__(self, model: Path) -> None:
        words = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self.ids = {word: number for number, word in enumerate(words)}
        self.weights = {
            name: np.array(tensor, np.float64)
            for name, tensor in safetensors.read(model / "model.safetensors").items()
            if name != "embeddings.position_ids"
        }

    def embed(self, text: str) -> Array:
        """The embedding of ``text``: 384 numbers, of length 1."""
        pooled = self._states(self.tokens(text)).mean(axis=0)
        return np.asarray(pooled / np.linalg.norm(pooled))

    def tokens(self, text: str) -> list[int]:
        """BERT's uncased WordPiece ids, with [CLS] and [SEP]."""
        pieces = [piece for word in _words(text) for piece in self._pieces(word)]
        return [self.ids[piece] for piece in ["[CLS]", *pieces, "[SEP]"]]

    def _pieces(self, word: str) -> list[str]:
        pieces: list[str] = []
        while word:
            prefix = "##" if pieces else ""
            fits = (n for n in range(len(word), 0, -1) if prefix + word[:n] in self.ids)
            length = next(fits, 0)
            if not length:
                return ["[UNK]"]
            pieces.append(prefix + word[:length])
            word = word[length:]
        return pieces

    def _states(self, ids: list[int]) -> Array:
        table = {
            kind: self.weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        }
        summed = table["word"][ids] + table["position"][: len(ids)] + table["token_type"][0]
        states = self._norm(summed, "embeddings")
        for layer in range(LAYERS):
            states = self._layer(states, f"encoder.layer.{layer}")
        return states

    def _layer(self, states: Array, name: str) -> Array:
        mixed = self._dense(self._attend(states, name), f"{name}.attention.output.dense")
        states = self._norm(states + mixed, f"{name}.attention.output")
        inner = self._dense(states, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1.0 + _erf(inner / math.sqrt(2.0)))
        return self._norm(states + self._dense(inner, f"{name}.output.dense"), f"{name}.output")

    def _attend(self, states: Array, name: str) -> Array:
        query, key, value = (
            np.stack(np.split(self._dense(states, f"{name}.attention.self.{part}"), HEADS, axis=1))
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[2])
        chances = np.exp(scores - scores.max(axis=2, keepdims=True))
        chances /= chances.sum(axis=2, keepdims=True)
        return np.concatenate(list(chances @ value), axis=1)

    def _dense(self, states: Array, name: str) -> Array:
        return np.asarray(states @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"])

    def _norm(self, states: Array, name: str) -> Array:
        centred = states - states.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        weight, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return np.asarray(scaled * weight + bias)


def _words(text: str) -> list[str]:
    """Lower-case words without accents; punctuation and Chinese characters are words."""
    plain = unicodedata.normalize("NFD", text.lower())
    spaced = "".join(
        f" {sign} " if _stands_alone(sign) else sign
        for sign in plain
        if unicodedata.category(sign) != "Mn"
    )
    return spaced.split()


def _stands_alone(sign: str) -> bool:
    chinese = unicodedata.name(sign, "").startswith("CJK UNIFIED IDEOGRAPH")
    return chinese or sign in string.punctuation or unicodedata.category(sign).startswith("P")


def load(folder: Path) -> Reference:
    """The reference on the locked weights, unpacked into ``folder``."""
    locked.fetch(embedding.LOCK, embedding.SOURCES)
    return Reference(embedding.unpack(embedding.SOURCES, folder))


def golden(reference: Reference) -> list[dict[str, Any]]:
    """The sentences and their embeddings, to five digits."""
    return [
        {"text": text, "embedding": [round(float(x), 5) for x in reference.embed(text)]}
        for text in GOLDEN
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        entries = [json.dumps(entry, ensure_ascii=False) for entry in golden(load(Path(place)))]
    print("[" + ",\n ".join(entries) + "]")
