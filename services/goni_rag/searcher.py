"""A question answered with passages: the whole way, over the engine and the index.

    question -> vector -> hits (one snapshot) -> reranked, when a reranker is loaded -> found or not

What the engine can't give in time is done without: the search then goes by words, in the order of
the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

from goni_core.contract import Source
from goni_rag import chunk, evidence, retrieve
from goni_rag.connections import Connections
from goni_rag.embed import Embedder
from goni_rag.filters import ALL, Filters
from goni_rag.rerank import Reranker
from goni_rag.semantic import Semantic

SEARCH_SECONDS = 10.0
"""How long a question waits for its vector before words alone have to do."""
RERANKED = 24
"""Sources that a reranker reads."""


@dataclass(frozen=True)
class Answer:
    """The sources nearest to a question, best first, and whether they seem to answer it."""

    sources: tuple[Source, ...]
    found: bool


class Searcher:
    """Search over the index behind ``connections`` with the engine behind ``embedder``."""

    def __init__(
        self, connections: Connections, embedder: Embedder, reranker: Reranker | None = None
    ) -> None:
        self._connections = connections
        self._embedder = embedder
        self._reranker = reranker
        self._near = Semantic()

    async def search(self, owner: str, query: str, k: int, filters: Filters = ALL) -> Answer:
        """At most ``k`` sources that ``owner`` may see."""
        asked = chunk.clipped(query, chunk.ROOM)
        vector = (await self._embedder.within([asked], SEARCH_SECONDS))[0]
        model = await self._reranker.model() if self._reranker else ""
        most = max(k, RERANKED) if model else k
        hits = await self._connections.read(
            retrieve.look, self._near, owner, query, vector, most, filters
        )
        found = await evidence.found(self._embedder, asked, vector, hits)
        sources = hits.sources
        if self._reranker and model:
            sources = await self._reranker.best_first(model, asked, sources)
        return Answer(sources[:k], found)
