"""Reranking through the engine's socket, by a real llama-server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.engine_node import CHAT, ask, running
from tests.models import write_tiny_chat_model
from tests.reranker import write_tiny_reranker

RERANK = "/v1/rerank"
PASSAGES = [
    "the washing machine is under warranty until march",
    "the cat sleeps on the sofa all day",
    "six apples go into the cake",
    "the boiler is serviced every october",
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("engine")
    with running(folder) as node, node.client() as opened:
        for name, path in (
            ("ranker", write_tiny_reranker(folder / "ranker.gguf")),
            ("tiny", write_tiny_chat_model(folder / "tiny.gguf")),
        ):
            content = path.read_bytes()
            opened.put(f"/models/{name}.gguf", content=content).raise_for_status()
        yield opened


def asked(query: str = "is it under warranty?", **more: Any) -> dict[str, Any]:
    return {"model": "ranker", "query": query, "documents": PASSAGES} | more


def scores(answer: dict[str, Any]) -> dict[int, float]:
    return {result["index"]: result["relevance_score"] for result in answer["results"]}


def test_passages_come_back_best_first(client: httpx.Client) -> None:
    answer = client.post(RERANK, json=asked()).raise_for_status().json()
    found = [result["relevance_score"] for result in answer["results"]]
    assert found == sorted(found, reverse=True)
    assert all(0.0 < score < 1.0 for score in found)
    assert len(set(found)) == 4
    assert sorted(scores(answer)) == [0, 1, 2, 3]
    assert answer["model"] == "ranker"
    assert answer["usage"]["prompt_tokens"] > 100
    models = {entry["id"]: entry["goni"] for entry in client.get("/v1/models").json()["data"]}
    assert (models["ranker"]["kind"], models["ranker"]["state"]) == ("rerank", "loaded")


def test_only_the_best_are_given_and_with_their_text_on_demand(client: httpx.Client) -> None:
    every = client.post(RERANK, json=asked()).json()["results"]
    best = client.post(RERANK, json=asked(top_n=2, return_documents=True)).json()["results"]
    assert [result["index"] for result in best] == [result["index"] for result in every[:2]]
    assert [result["document"]["text"] for result in best] == [
        PASSAGES[result["index"]] for result in best
    ]


def test_a_score_depends_on_question_and_passage_and_on_nobody_else(client: httpx.Client) -> None:
    together = scores(client.post(RERANK, json=asked()).json())
    for index, passage in enumerate(PASSAGES):
        alone = client.post(RERANK, json=asked(documents=[passage])).json()
        assert scores(alone)[0] == pytest.approx(together[index], abs=1e-3)
    other = scores(client.post(RERANK, json=asked("when is the cat awake?")).json())
    assert any(abs(other[index] - together[index]) > 0.01 for index in together)
    with ThreadPoolExecutor(4) as pool:
        questions = [f"question number {n}?" for n in range(8)]
        crowd = list(pool.map(lambda q: client.post(RERANK, json=asked(q)).json(), questions))
    for question, answer in zip(questions, crowd, strict=True):
        again = scores(client.post(RERANK, json=asked(question)).json())
        assert scores(answer) == pytest.approx(again, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "nowhere"}, 404, "model_not_found"),
        ({"model": "tiny"}, 404, "model_not_found"),
        ({"documents": []}, 400, "out_of_range"),
        ({"documents": "x"}, 400, "bad_type"),
        ({"documents": ["a", 5]}, 400, "bad_type"),
        ({"documents": ["a", ""]}, 400, "bad_type"),
        ({"documents": ["a"] * 1001}, 400, "out_of_range"),
        ({"query": ""}, 400, "missing_field"),
        ({"query": None}, 400, "missing_field"),
        ({"top_n": 0}, 400, "out_of_range"),
        ({"texts": ["a"]}, 400, "unknown_field"),
        ({"documents": ["word " * 2000]}, 400, "context_length_exceeded"),
    ],
)
def test_bad_requests_are_refused(
    client: httpx.Client, change: dict[str, Any], status: int, code: str
) -> None:
    response = client.post(RERANK, json=asked() | change)
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"] == code


def test_a_reranker_does_not_chat(client: httpx.Client) -> None:
    response = client.post(CHAT, json=ask("x", model="ranker"))
    assert response.status_code == 404
    assert "ranks passages" in response.json()["error"]["message"]
