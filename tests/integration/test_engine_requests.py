"""What a request may ask of llama-server, and what it may learn of other people's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import models
from tests.integration.engine_node import CHAT, Node, ask, events, running

LONG = "once upon a time there was a household with a secret of its own. " * 8


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("engine")
    with running(folder) as started:
        with started.client() as client:
            content = models.write_tiny_chat_model(folder / "tiny.gguf").read_bytes()
            client.put("/models/tiny.gguf", content=content).raise_for_status()
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with node.client() as opened:
        yield opened


def reused(answer: dict[str, Any]) -> int:
    """Tokens of the prompt that were read already, as llama-server counts them."""
    cached: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert answer["timings"]["cache_n"] == cached
    return cached


def said(client: httpx.Client, person: str, text: str = LONG) -> dict[str, Any]:
    request = ask(text, tokens=4) | ({"goni": {"person": person}} if person else {})
    answer: dict[str, Any] = client.post(CHAT, json=request).raise_for_status().json()
    return answer


def test_nobody_learns_what_others_have_asked(client: httpx.Client) -> None:
    first = said(client, "anna")
    assert reused(first) == 0
    again = said(client, "anna")
    assert reused(again) > 100
    for stranger in ("ben", "", "carl", ""):
        answer = said(client, stranger)
        assert reused(answer) == 0
        assert answer["choices"] == first["choices"]
    assert again["choices"] == first["choices"]


@pytest.mark.parametrize("field", ["id_slot", "slot_id", "cache_prompt", "n_cache_reuse", "lora"])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/count"])
def test_fields_that_reach_over_to_others_are_refused(
    client: httpx.Client, path: str, field: str
) -> None:
    response = client.post(path, json=ask("x", prompt="x") | {field: 0})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "unknown_field"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"n": 2}, "out_of_range"),
        ({"goni": {"person": ""}}, ""),
        ({"goni": {"person": 5}}, "bad_type"),
        ({"goni": {"slot": 5}}, "unknown_field"),
        ({"goni": "anna"}, "bad_type"),
    ],
)
def test_odd_requests_are_refused(client: httpx.Client, change: dict[str, Any], code: str) -> None:
    response = client.post(CHAT, json=ask("x") | change)
    assert response.status_code == (400 if code else 200), response.text
    if code:
        assert response.json()["error"]["code"] == code


def test_fields_of_other_services_and_of_llama_servers_insides_are_left_out(
    client: httpx.Client,
) -> None:
    plain = client.post(CHAT, json=ask("hello")).json()["choices"]
    request = ask("hello", store=True, metadata={"a": "b"}, user="x", service_tier="auto")
    inside = {"chat_parser": "nonsense", "chat_format": 99, "verbose": True, "n_keep": -5}
    answer = client.post(CHAT, json=request | inside)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"] == plain
    assert "__verbose" not in answer.json()


def test_a_json_schema_is_kept_to(client: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "sure": {"type": "boolean"}},
        "required": ["colour", "sure"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = client.post(CHAT, json=ask("which?", tokens=200, response_format=form)).json()
    found = json.loads(answer["choices"][0]["message"]["content"])
    assert set(found) == {"colour", "sure"}
    assert found["colour"] in ("red", "green")
    assert found["sure"] in (True, False)


def test_tools_reach_the_models_template(client: httpx.Client, tmp_path: Path) -> None:
    handy = models.write_tiny_chat_model(tmp_path / "x.gguf", template=models.TOOL_TEMPLATE)
    client.put("/models/handy.gguf", content=handy.read_bytes()).raise_for_status()
    parameters = {"type": "object", "properties": {"city": {"enum": ["Bonn", "Rome"]}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    plain, equipped = ask("rain?", model="handy"), ask("rain?", model="handy", tools=[tool])
    tokens = [client.post("/count", json=request).json()["tokens"] for request in (plain, equipped)]
    assert tokens[1] - tokens[0] > len(json.dumps(tool))
    answer = client.post(CHAT, json=equipped)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["prompt_tokens"] == tokens[1]
    assert client.delete("/models/handy").status_code == 204


def test_many_at_once_get_what_they_get_alone(client: httpx.Client) -> None:
    texts = [f"the secret of person {n} is {n * 7919 % 1000}. tell it." for n in range(8)]
    alone = [said(client, f"person {n}", text)["choices"] for n, text in enumerate(texts)]

    def stream(number: int) -> str:
        request = ask(texts[number], tokens=4, stream=True) | {"goni": {"person": "x"}}
        with client.stream("POST", CHAT, json=request) as response:
            parts = list(events(response.iter_lines()))
        return "".join(part["choices"][0]["delta"].get("content") or "" for part in parts)

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(stream, [n % 8 for n in range(40)]))
    for number, text in enumerate(together):
        assert text == alone[number % 8][0]["message"]["content"]


def test_a_model_that_computes_nothing_sensible_is_unusable(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = models._tensors

    def broken(*arguments: Any) -> Any:
        tensors = whole(*arguments)
        tensors["blk.1.ffn_down.weight"][:] = np.nan
        return tensors

    monkeypatch.setattr(models, "_tensors", broken)
    content = models.write_tiny_chat_model(tmp_path / "nan.gguf").read_bytes()
    client.put("/models/nan.gguf", content=content).raise_for_status()
    response = client.post(CHAT, json=ask("x", model="nan"))
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "model_unusable"
    assert "self-test" in error["message"]
    health = client.get("/health").json()
    assert not health["ok"]
    failed = [check for check in health["checks"] if not check["ok"]]
    assert [check["name"] for check in failed] == ["chat numbers"]
    assert "nan" in failed[0]["detail"]
    assert client.post(CHAT, json=ask("x")).status_code == 200
    assert client.delete("/models/nan").status_code == 204
    assert client.get("/health").json()["ok"]
