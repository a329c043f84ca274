"""POST /v1/rerank: which of several passages answers a question best, by a rerank model.

The request is Jina's and Cohere's (https://jina.ai/reranker/, https://docs.cohere.com/reference/
rerank). llama-server gives what the model's last layer says; for most that is a log-odds, which is
made a probability here, so that every model's scores lie between 0 and 1.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from goni_core import fields, http
from goni_core.errors import BadInput, GoniError
from goni_engine import chat
from goni_engine.instance import Instance
from goni_engine.store import Entry
from goni_engine.supervisor import Supervisor

KNOWN = ("model", "query", "documents", "top_n", "return_documents", "user")
DOCUMENTS_LIMIT = 1000
QUERY_LIMIT = 10_000
PROBABILITIES = frozenset({"qwen3", "qwen3vl"})
"""Architectures to which llama.cpp applies the softmax itself (llama-graph.cpp)."""


@dataclass(frozen=True)
class Wanted:
    """A parsed request; ``top_n`` results are wanted."""

    model: str
    query: str
    documents: tuple[str, ...]
    top_n: int
    with_documents: bool


def parse(body: fields.Object) -> Wanted:
    """The request in ``body``; :class:`BadInput` names the bad field."""
    fields.only(body, KNOWN)
    documents = _documents(body.get("documents"))
    most = len(documents)
    wanted = body.get("top_n")
    return Wanted(
        model=fields.text(body, "model", longest=300),
        query=fields.text(body, "query", longest=QUERY_LIMIT),
        documents=documents,
        top_n=most if wanted is None else fields.integer(body, "top_n", least=1, most=1 << 31),
        with_documents=fields.flag(body, "return_documents"),
    )


def _documents(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadInput("documents must be a list of strings", code="bad_type")
    texts = [item.get("text") if isinstance(item, dict) else item for item in value]
    if not 1 <= len(texts) <= DOCUMENTS_LIMIT:
        raise BadInput(f"documents must have 1 to {DOCUMENTS_LIMIT} texts", code="out_of_range")
    if not all(isinstance(text, str) and text for text in texts):
        raise BadInput("documents must be strings that aren't empty", code="bad_type")
    return tuple(str(text) for text in texts)


async def rank(supervisor: Supervisor, entry: Entry, wanted: Wanted) -> dict[str, object]:
    """The answer, the best passage first."""
    content = json.dumps({"query": wanted.query, "documents": wanted.documents}).encode()

    async def ask(instance: Instance) -> fields.Object:
        said = await instance.server.service.call(
            "POST", "/v1/rerank", content=content, headers=chat.JSON, timeout=http.ANSWER_TIMEOUT
        )
        instance.answered = True
        return said

    answer = await chat.run(supervisor, entry, ask)
    architecture = entry.usable_card().architecture
    scores = _scores(answer, wanted, probabilities=architecture in PROBABILITIES)
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: wanted.top_n]
    return {
        "object": "list",
        "model": wanted.model,
        "results": [_result(index, scores[index], wanted) for index in order],
        "usage": answer.get("usage", {}),
    }


def _scores(answer: fields.Object, wanted: Wanted, *, probabilities: bool) -> list[float]:
    scores = [math.nan] * len(wanted.documents)
    for result in fields.objects(answer, "results", most=DOCUMENTS_LIMIT):
        index = fields.integer(result, "index", least=0, most=len(scores) - 1)
        score = result.get("relevance_score")
        if isinstance(score, int | float):
            scores[index] = float(score) if probabilities else _probability(float(score))
    if not all(math.isfinite(score) for score in scores):
        raise GoniError("the model gave no number for a document", code="engine_error")
    return scores


def _probability(odds: float) -> float:
    """The logistic function, without overflow."""
    small = math.exp(-abs(odds))
    return 1.0 / (1.0 + small) if odds >= 0 else small / (1.0 + small)


def _result(index: int, score: float, wanted: Wanted) -> dict[str, object]:
    result: dict[str, object] = {"index": index, "relevance_score": score}
    if wanted.with_documents:
        result["document"] = {"text": wanted.documents[index]}
    return result
