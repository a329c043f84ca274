"""Does this node compute the right numbers? Compares embeddings with those that a trusted build
made of the same texts (``golden.json``, made when the model is converted).

Backends differ in the last digits, a broken one differs in the first: the bounds lie between.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goni_core import contract, fields
from goni_core.contract import Check
from goni_core.errors import GoniError

FILE = Path(__file__).with_name("golden.json")
LEAST_COSINE = 0.999
MOST_DIFFERENCE = 0.01
"""In any one number of two unit vectors; the numbers are about 0.05."""


@dataclass(frozen=True)
class Golden:
    """A text and the vector that it must get."""

    text: str
    vector: tuple[float, ...]


@functools.cache
def load(path: Path = FILE) -> tuple[Golden, ...]:
    """The pairs in ``path``; :class:`GoniError` when there are none."""
    try:
        content = {"texts": json.loads(path.read_bytes())}
        entries = fields.objects(content, "texts", most=1000)
        pairs = tuple(_pair(entry) for entry in entries)
    except (OSError, ValueError, GoniError) as error:
        raise GoniError(f"{path.name} can't be read: {error}") from error
    if not pairs:
        raise GoniError(f"{path.name} holds no numbers")
    return pairs


def _pair(entry: fields.Object) -> Golden:
    vector = entry.get("embedding")
    if (
        not isinstance(vector, list)
        or len(vector) != contract.EMBEDDING_DIMENSIONS
        or not all(isinstance(number, float | int) for number in vector)
    ):
        raise GoniError("an embedding is not a list of numbers of the right length")
    return Golden(fields.text(entry, "text", longest=100_000), tuple(map(float, vector)))


def compare(golden: Sequence[Golden], computed: NDArray[np.float32]) -> Check:
    """Whether row for row ``computed`` is what ``golden`` says."""
    wanted = np.array([pair.vector for pair in golden], dtype=np.float64)
    found = computed.astype(np.float64)
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1)
    cosine = float(np.min(np.sum(wanted * found, axis=1) / norms))
    difference = float(np.max(np.abs(wanted - found)))
    ok = cosine >= LEAST_COSINE and difference <= MOST_DIFFERENCE
    words = f"cosine {cosine:.6f}, largest difference {difference:.6f} over {len(golden)} texts"
    return Check("embedding numbers", ok, words if ok else f"wrong numbers: {words}")
