"""The engine's reranker, when one is loaded: it reads question and passage together, and so ranks
better than scores that were made apart.

One that isn't loaded is never loaded for a search: that would take a chat model's memory, and
longer than the search. What fails, or takes too long, leaves the order as it was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import time

from goni_core import fields
from goni_core.contract import Source
from goni_core.errors import GoniError
from goni_core.http import Service

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How long the engine's list of models is believed."""
SECONDS = 3.0
"""How long a search waits for the better order."""
MOST_MODELS = 1000
LONGEST = 2000
"""Characters of a passage that are read."""


class Reranker:
    """A client of the engine."""

    def __init__(self, engine: Service) -> None:
        self._engine = engine
        self._model = ""
        self._looked = -math.inf

    async def model(self) -> str:
        """The id of a loaded reranker; "" when there is none."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._model = await self._loaded()
        return self._model

    async def _loaded(self) -> str:
        try:
            async with asyncio.timeout(SECONDS):
                said = await self._engine.call("GET", "/v1/models")
            listed = [one.get("goni") for one in fields.objects(said, "data", most=MOST_MODELS)]
        except (GoniError, TimeoutError):
            return ""
        models = [one for one in listed if isinstance(one, dict)]
        loaded = [
            str(one.get("id"))
            for one in models
            if (one.get("kind"), one.get("state")) == ("rerank", "loaded")
        ]
        return min(loaded, default="")

    async def best_first(
        self, model: str, query: str, sources: tuple[Source, ...]
    ) -> tuple[Source, ...]:
        """``sources`` by what ``model`` says of them, with its scores (0 to 1)."""
        if not sources:
            return sources
        texts = [f"{one.document}\n{one.heading}\n{one.text}"[:LONGEST] for one in sources]
        body = {"model": model, "query": query, "documents": texts}
        try:
            async with asyncio.timeout(SECONDS):
                said = await self._engine.call("POST", "/v1/rerank", json=body)
            scores = _scores(said, len(sources))
        except (GoniError, TimeoutError) as error:
            log.info("not reranked: %s", getattr(error, "code", "timeout"))
            self._looked = -math.inf  # it may have been unloaded
            return sources
        order = sorted(range(len(sources)), key=lambda number: -scores[number])
        return tuple(dataclasses.replace(sources[n], score=scores[n]) for n in order)


def _scores(said: fields.Object, count: int) -> dict[int, float]:
    """Each passage's score; :class:`GoniError` when one has none."""
    scores: dict[int, float] = {}
    for one in fields.objects(said, "results", most=count):
        number = fields.integer(one, "index", least=0, most=count - 1)
        score = one.get("relevance_score")
        if isinstance(score, int | float):
            scores[number] = float(score)
    if len(scores) != count:
        raise GoniError("the reranker left passages out", code="bad_ranking")
    return scores
