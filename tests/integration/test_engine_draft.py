"""Speculative decoding through the engine's socket: a tiny model with a draft beside it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.guesser import write_guessing_model
from tests.integration.engine_node import CHAT, Node, ask, running
from tests.models import write_tiny_chat_model

MODELS = ("alone", "itself", "another", "foreign")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The same model without a draft, with itself as one, with one that guesses badly, and with
    something that is no model; and one that guesses by itself, with and without the layer.
    """
    folder = tmp_path_factory.mktemp("engine")
    node = Node(folder)
    node.models.mkdir(parents=True)
    for name in MODELS:
        write_tiny_chat_model(node.models / f"{name}.gguf", seed=1)
    write_tiny_chat_model(node.models / "itself.draft.gguf", seed=1)
    write_tiny_chat_model(node.models / "another.draft.gguf", seed=2)
    write_guessing_model(node.models / "guessing.gguf")
    write_guessing_model(node.models / "plain.gguf", guesses=0)
    write_guessing_model(node.models / "twofold.gguf", guesses=2)
    (node.models / "foreign.draft.gguf").write_bytes(b"PK\x03\x04 not a model")
    with running(folder) as started:
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with node.client() as opened:
        opened.timeout = httpx.Timeout(300)
        yield opened


def answer(client: httpx.Client, model: str, text: str) -> tuple[str, dict[str, float]]:
    """The answer, and llama-server's own figures of it."""
    said = client.post(CHAT, json=ask(text, model=model, tokens=24, seed=3)).raise_for_status()
    return said.json()["choices"][0]["message"]["content"], said.json()["timings"]


def test_a_draft_changes_the_work_and_never_the_answer(client: httpx.Client) -> None:
    for text in ("hello there", "what is in the garden?"):
        expected, plain = answer(client, "alone", text)
        assert "draft_n" not in plain
        for model in ("itself", "another", "foreign"):
            assert answer(client, model, text)[0] == expected
    guessed = answer(client, "itself", "hello there")[1]
    assert guessed["draft_n_accepted"] == guessed["draft_n"] > 0
    missed = answer(client, "another", "hello there")[1]
    assert missed["draft_n_accepted"] < missed["draft_n"]
    assert "draft_n" not in answer(client, "foreign", "hello there")[1]


def test_a_model_that_guesses_by_itself_says_the_same(client: httpx.Client) -> None:
    expected, plain = answer(client, "plain", "hello there")
    said, figures = answer(client, "guessing", "hello there")
    assert said == expected
    assert figures["draft_n"] > 0
    assert "draft_n" not in plain


def test_a_model_whose_guesses_fail_is_used_without(client: httpx.Client, node: Node) -> None:
    said, figures = answer(client, "twofold", "hello there")
    assert said == answer(client, "plain", "hello there")[0]
    assert "draft_n" not in figures
    assert "twofold is loaded without guesses" in node.log


def test_a_draft_is_no_model_of_its_own_and_its_memory_counts(client: httpx.Client) -> None:
    listed = [entry["id"] for entry in client.get("/v1/models").json()["data"]]
    assert set(MODELS) <= set(listed)
    assert not any("draft" in model for model in listed)
    for model in ("alone", "itself"):
        answer(client, model, "hello")
    stats = {entry["id"]: entry["memory"] for entry in client.get("/stats").json()["models"]}
    assert stats["itself"] > stats["alone"] + (1 << 20)


def test_probabilities_are_refused_where_they_would_be_wrong(client: httpx.Client) -> None:
    assert client.post(CHAT, json=ask("hello", model="alone", logprobs=True)).status_code == 200
    refused = client.post(CHAT, json=ask("hello", model="itself", logprobs=True))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_logprobs")


def test_a_draft_goes_with_its_model(client: httpx.Client, node: Node) -> None:
    assert client.delete("/models/another").status_code == 204
    assert not list(node.models.glob("another*"))
