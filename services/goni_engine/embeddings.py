"""POST /v1/embeddings: OpenAI's request and answer around the embedder.

https://platform.openai.com/docs/api-reference/embeddings. Texts only, no token numbers; ``goni``
in the answer says which texts were cut.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goni_core import contract, fields
from goni_core.errors import BadInput, NotFound
from goni_engine.embedder import Embedded

TEXTS_LIMIT = 2048
KNOWN = ("model", "input", "encoding_format", "dimensions", "user")


@dataclass(frozen=True)
class Wanted:
    """A parsed request."""

    texts: tuple[str, ...]
    base64: bool


def parse(body: fields.Object) -> Wanted:
    """The request in ``body``; :class:`BadInput` names the bad field."""
    fields.only(body, KNOWN)
    if fields.text(body, "model", longest=200) != contract.EMBEDDING_MODEL:
        raise NotFound(
            "there is no embedding model of that name on this node",
            hint=f"use {contract.EMBEDDING_MODEL}",
            code="model_not_found",
        )
    size = contract.EMBEDDING_DIMENSIONS
    if body.get("dimensions") is not None:
        fields.integer(body, "dimensions", least=size, most=size)
    form = fields.text(body, "encoding_format", default="float")
    if form not in ("float", "base64"):
        raise BadInput("encoding_format must be float or base64", code="bad_value")
    return Wanted(_texts(body.get("input")), form == "base64")


def _texts(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadInput("input must be a string or a list of strings", code="bad_type")
    if not 1 <= len(texts) <= TEXTS_LIMIT:
        raise BadInput(f"input must have 1 to {TEXTS_LIMIT} texts", code="out_of_range")
    if not all(texts):
        raise BadInput(f"input text {texts.index('')} is empty", code="missing_field")
    return tuple(texts)


def answer(wanted: Wanted, embedded: Embedded) -> dict[str, object]:
    """OpenAI's answer; vectors as numbers, or as base64 of little-endian 32-bit floats."""
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    return {
        "object": "list",
        "model": contract.EMBEDDING_MODEL,
        "data": [
            {"object": "embedding", "index": number, "embedding": _coded(row, wanted)}
            for number, row in enumerate(embedded.vectors)
        ],
        "usage": usage,
        "goni": {"cut": list(embedded.cut)},
    }


def _coded(row: NDArray[np.float32], wanted: Wanted) -> str | list[float]:
    if wanted.base64:
        return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
    return [float(number) for number in row]
