"""Embeddings for many callers at once: the shipped model in one worker thread.

Each request is cut into batches, and the thread takes batches in the order they come, so that a
question never waits for more than one batch of somebody's thousand chunks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from goni_core import contract
from goni_core.errors import GoniError, Unavailable
from goni_engine.native import BATCH_TEXTS, BATCH_TOKENS, Encoder

TEXT_LIMIT = 32_768
"""Characters of one text that are looked at: the model takes 256 tokens."""
TOKENIZE_AT_ONCE = 64
HANGING_S = 120.0
"""A batch takes well under a second; one that takes longer than this never ends."""

T = TypeVar("T")


@dataclass(frozen=True)
class Embedded:
    """One unit vector (row) per text; ``cut`` are the indices of texts that were too long."""

    vectors: NDArray[np.float32]
    tokens: int
    cut: tuple[int, ...]


class Embedder:
    """The embedding model. :meth:`load` first; until then, and if it failed, it is
    :class:`Unavailable`.
    """

    def __init__(self, libraries: Path, model: Path, threads: int) -> None:
        self._libraries = libraries
        self._model = model
        self._threads = threads
        self._encoder: Encoder | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._busy_since: float | None = None
        self.reason = "the embedding model is not loaded yet"

    async def load(self) -> None:
        """Load the model; :class:`GoniError` says why it can't be."""
        try:
            self._encoder = await self._work(self._make)
        except GoniError as error:
            self.reason = error.message
            raise
        self.reason = ""

    @property
    def alive(self) -> bool:
        """False when the worker hangs in llama.cpp."""
        since = self._busy_since
        return since is None or time.monotonic() - since < HANGING_S

    async def close(self) -> None:
        if self._encoder:
            await self._work(self._encoder.close)
            self._encoder = None
        self.reason = "the engine is stopping"
        self._worker.shutdown(wait=False)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of ``texts``, in their order."""
        encoder = self._encoder
        if encoder is None:
            raise Unavailable(f"no embeddings: {self.reason}", code="embedding_unavailable")
        read = await self._tokenize(encoder, texts)
        tokens = [one for one, _ in read]
        rows = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
        for batch in batches([len(one) for one in tokens]):
            chosen = [tokens[number] for number in batch]
            rows[batch.start : batch.stop] = await self._work(encoder.vectors, chosen)
        cut = tuple(
            number
            for number, (_, was_cut) in enumerate(read)
            if was_cut or len(texts[number]) > TEXT_LIMIT
        )
        return Embedded(rows, sum(len(one) for one in tokens), cut)

    async def _tokenize(
        self, encoder: Encoder, texts: Sequence[str]
    ) -> list[tuple[list[int], bool]]:
        def part(start: int) -> list[tuple[list[int], bool]]:
            chosen = texts[start : start + TOKENIZE_AT_ONCE]
            return [encoder.tokens(text[:TEXT_LIMIT]) for text in chosen]

        read = []
        for start in range(0, len(texts), TOKENIZE_AT_ONCE):
            read += await self._work(part, start)
        return read

    async def _work(self, function: Callable[..., T], *arguments: object) -> T:
        def timed() -> T:
            self._busy_since = time.monotonic()
            try:
                return function(*arguments)
            finally:
                self._busy_since = None

        return await asyncio.get_running_loop().run_in_executor(self._worker, timed)

    def _make(self) -> Encoder:
        encoder = Encoder(
            self._libraries,
            self._model,
            context=contract.EMBEDDING_CONTEXT,
            threads=self._threads,
        )
        if encoder.dimensions != contract.EMBEDDING_DIMENSIONS:
            encoder.close()
            raise GoniError(f"{self._model.name} has {encoder.dimensions} dimensions")
        return encoder


def batches(lengths: Sequence[int]) -> Iterator[range]:
    """Cut texts of ``lengths`` tokens into runs that fit one batch."""
    start, tokens = 0, 0
    for number, length in enumerate(lengths):
        if tokens + length > BATCH_TOKENS or number - start >= BATCH_TEXTS:
            yield range(start, number)
            start, tokens = number, 0
        tokens += length
    if start < len(lengths):
        yield range(start, len(lengths))
