"""Vectors for passages and questions, from the engine's socket.

Asks in small batches so that a chat waits behind one batch at most. An engine that is down costs
nothing but the vectors: callers store the passages without and come back for them. A passage that
the engine refuses by itself is reported as :data:`REFUSED`, so that nobody asks for it for ever.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goni_core import fields
from goni_core.contract import EMBEDDING_DIMENSIONS, EMBEDDING_MODEL
from goni_core.errors import BadInput, GoniError, Unavailable
from goni_core.http import STREAM_TIMEOUT, Service

log = logging.getLogger(__name__)

VERSION = 1
"""Of the model and of what it is given: vectors of another are made anew."""
BATCH = 16
BYTES = EMBEDDING_DIMENSIONS * 4

Vector = bytes
"""Little-endian 32-bit floats of unit length, as sqlite-vec takes them."""
REFUSED: Vector = b""


class Embedder:
    """A client of the engine that knows no documents and keeps nothing."""

    def __init__(self, engine: Service) -> None:
        self._engine = engine

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector per text, :data:`REFUSED` for a text that the engine doesn't take; raises
        :class:`Unavailable` when it can't be asked.
        """
        try:
            return await self._ask(texts)
        except GoniError as error:
            if error.status not in (400, 413, 422):
                raise Unavailable(error.message, hint=error.hint, code=error.code) from error
            if len(texts) == 1:
                log.warning("the engine refuses a passage: %s", error.code)
                return [REFUSED]
        return [(await self.embed([text]))[0] for text in texts]

    async def within(self, texts: Sequence[str], seconds: float) -> list[Vector | None]:
        """As many vectors as ``seconds`` suffice for, in order, and None for the rest."""
        vectors: list[Vector | None] = []
        try:
            async with asyncio.timeout(seconds):
                async for some in self._batches(texts):
                    vectors += some
        except TimeoutError:
            log.info("embedding %d of %d passages later", len(texts) - len(vectors), len(texts))
        except Unavailable as error:
            log.warning("embedding later: %s", error.code)
        return vectors + [None] * (len(texts) - len(vectors))

    async def _batches(self, texts: Sequence[str]) -> AsyncIterator[list[Vector]]:
        for start in range(0, len(texts), BATCH):
            yield await self.embed(texts[start : start + BATCH])

    async def _ask(self, texts: Sequence[str]) -> list[Vector]:
        body = {"model": EMBEDDING_MODEL, "input": list(texts), "encoding_format": "base64"}
        answer = await self._engine.call(
            "POST", "/v1/embeddings", json=body, timeout=STREAM_TIMEOUT
        )
        if cut := _cut(answer):
            log.info("%d passages were longer than the embedding model takes", cut)
        return parsed(answer, len(texts))


def parsed(answer: fields.Object, wanted: int) -> list[Vector]:
    """The vectors in OpenAI's answer, in the order of the input; raises :class:`Unavailable` when
    they are not what was asked for.
    """
    try:
        entries = fields.objects(answer, "data", most=wanted)
        numbered = {fields.integer(e, "index", least=0, most=wanted - 1): e for e in entries}
        if len(numbered) != wanted:
            raise BadInput("vectors are missing")
        return [_vector(numbered[index].get("embedding")) for index in range(wanted)]
    except BadInput as error:
        raise Unavailable(
            f"the engine's embeddings are unusable: {error.message}", code="bad_embedding"
        ) from error


def signs(numbers: NDArray[np.float32]) -> NDArray[np.uint8]:
    """One bit per number, set where it is positive: the coarse form of vectors (the last axis)."""
    return np.packbits(numbers > 0, axis=-1)


def _cut(answer: fields.Object) -> int:
    """How many texts the engine says it had to cut; OpenAI's shape doesn't tell."""
    said = answer.get("goni")
    cut = said.get("cut") if isinstance(said, dict) else None
    return len(cut) if isinstance(cut, list) else 0


def _vector(value: Any) -> Vector:
    try:
        data = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadInput("embedding is not base64") from error
    if len(data) != BYTES:
        raise BadInput(f"embedding does not have {EMBEDDING_DIMENSIONS} dimensions")
    numbers = np.frombuffer(data, dtype="<f4")
    length = float(np.linalg.norm(numbers))
    if not np.isfinite(length) or length < 1e-6:
        raise BadInput("embedding has no direction")
    return (numbers / length).astype("<f4").tobytes()
