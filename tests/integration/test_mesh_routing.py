"""Chats over the household: real nodes with real engines; some are killed, frozen, cut off."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration import engine_node
from tests.integration.mesh_node import eventually
from tests.integration.whole_node import Whole, household
from tests.models import RECITED, write_reciting_model

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def recites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reciting_model(tmp_path_factory.mktemp("f") / "recites.gguf")


@pytest.fixture
def two(tmp_path_factory: pytest.TempPathFactory, recites: Path) -> Iterator[list[Whole]]:
    """The second has a model; the first has none."""
    with household(tmp_path_factory.mktemp("r"), [[], [recites]]) as nodes:
        yield nodes


def app(node: Whole) -> httpx.Client:
    client = node.gateway.client(authorization=f"Bearer {node.gateway.a_key()}")
    client.timeout = httpx.Timeout(600.0)
    return client


def asked(text: str = "hello", *, stream: bool = False, **more: object) -> dict:
    messages = [{"role": "user", "content": text}]
    body = {"model": "recites", "messages": messages, "stream": stream, "temperature": 0}
    return body | {"goni": {"documents": False}} | more


def streamed(
    client: httpx.Client, body: dict, on_first: Callable[[], None] = lambda: None
) -> tuple[str, str]:
    """The text that came, and the error that ended it, if one did; ``on_first`` is called when the
    first of it is here.
    """
    text, error = "", ""
    with client.stream("POST", CHAT, json=body) as answer:
        if answer.status_code != 200:
            return "", json.loads(answer.read())["error"]["code"]
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                event = json.loads(line[6:])
                error = error or event.get("error", {}).get("code", "")
                for choice in event.get("choices", []):
                    before, text = text, text + (choice["delta"].get("content") or "")
                    if text and not before:
                        on_first()
    return text, error


def loaded(node: Whole) -> int:
    """How many peers are known to have the reciting model loaded."""
    models = [
        one for peer in node.mesh.ask("GET", "/nodes")["nodes"] for one in peer["load"]["models"]
    ]
    return sum(one["id"] == "recites" and one["state"] == "loaded" for one in models)


def peer_busy(node: Whole) -> int:
    with node.engine.client() as engine:
        return sum(model["busy"] for model in engine.get("/stats").json()["models"])


def test_a_node_without_a_model_answers_by_its_peers(two: list[Whole]) -> None:
    first, second = two
    client = app(first)
    listed = {one["id"]: one["goni"] for one in client.get("/v1/models").json()["data"]}
    assert listed["recites"]["node"] == "node 1"
    said = client.post(CHAT, json=asked()).json()
    assert said["choices"][0]["message"]["content"].strip() == RECITED
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["usage"]["completion_tokens"] > 5
    text, error = streamed(client, asked(stream=True))
    assert (text.strip(), error) == (RECITED, "")
    assert "goni" in said
    assert client.post(CHAT, json=asked() | {"model": "another"}).status_code == 404
    wrong = client.post(CHAT, json=asked(response_format={"type": "nonsense"}))
    assert wrong.status_code == 400, wrong.text
    # Nothing of it is in a log, nor whose it was.
    for log in (first.mesh.log, second.mesh.log, second.engine.log):
        assert "hello" not in log
        assert RECITED[:20] not in log

    # The peer dies: a clear error, and when it is back, answers.
    second.die()
    text, error = streamed(client, asked(stream=True))
    assert text == ""
    assert error
    second.restart()
    eventually(lambda: first.sees(second))
    text, error = streamed(client, asked(stream=True))
    assert (text.strip(), error) == (RECITED, "")


def test_a_peer_that_dies_or_hangs_costs_a_retry_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, recites: Path
) -> None:
    """Frozen, the peer's port stays open: its tokens tell."""
    endless = write_reciting_model(tmp_path_factory.mktemp("e") / "endless.gguf", endless=True)
    models = [[], [recites, endless], [recites]]
    with household(tmp_path_factory.mktemp("s"), models) as (first, second, third):
        client = app(first)
        for node in (second, third):  # loaded everywhere
            with node.engine.client() as engine:
                engine.post(CHAT, json=engine_node.ask("hello", model="recites"), timeout=600)
        eventually(lambda: loaded(first) == 2)

        # Before the first token nobody notices.
        second.signal(signal.SIGSTOP)
        with ThreadPoolExecutor(4) as pool:
            asks = [pool.submit(streamed, client, asked(stream=True)) for _ in range(4)]
            said = [(text.strip(), error) for text, error in (one.result() for one in asks)]
        assert said == [(RECITED, "")] * 4
        second.signal(signal.SIGCONT)
        eventually(lambda: first.sees(second, third))

        # In the midst of an answer it is a clear error, and what came before was right.
        def freeze() -> None:
            second.signal(signal.SIGSTOP)

        body = asked(stream=True, max_tokens=16000) | {"model": "endless"}
        text, error = streamed(client, body, on_first=freeze)
        assert error == "peer_silent"
        assert text.split()
        assert (RECITED.split() * 1000)[: len(text.split())] == text.split()
        second.signal(signal.SIGCONT)

        # Whoever hangs up ends the work of the peer's engine.
        eventually(lambda: peer_busy(second) == 0)
