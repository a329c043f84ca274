"""The engine through its socket: real llama-server, real embedding model, a tiny chat model."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from goni_core import contract
from tests.integration.engine_node import CHAT, Node, ask, events, running
from tests.models import write_tiny_chat_model

SECRET = "the heron keeps its cardamom in lighthouse seven"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_chat_model(tmp_path_factory.mktemp("gguf") / "tiny.gguf", seed=1)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("engine")) as started:
        with started.client() as client:
            client.put("/models/tiny.gguf", content=model.read_bytes()).raise_for_status()
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with node.client() as opened:
        yield opened


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert {"message", "type", "code", "param"} <= set(error)
    return error


def eventually(what: Any, within: float = 5.0) -> float:
    """Wait until ``what()`` is true; how long that took."""
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < within, "it did not come true"
        time.sleep(0.02)
    return time.monotonic() - started


def listed(client: httpx.Client, model: str) -> dict[str, Any]:
    found = {entry["id"]: entry["goni"] for entry in client.get("/v1/models").json()["data"]}
    goni: dict[str, Any] = found[model]
    return goni


def test_health_is_well_and_says_what_it_runs_on(client: httpx.Client) -> None:
    health = client.get("/health").json()
    assert health["ok"], health
    assert health["service"] == "engine"
    assert health["words"].startswith("running on ")
    checks = {check["name"]: check["detail"] for check in health["checks"]}
    assert "cosine" in checks["embedding numbers"]


def test_models_are_listed_in_openais_shape_with_what_goni_knows(client: httpx.Client) -> None:
    assert client.get("/v1/models").json()["object"] == "list"
    tiny = listed(client, "tiny")
    assert (tiny["kind"], tiny["architecture"]) == ("chat", "llama")
    embedding = listed(client, contract.EMBEDDING_MODEL)
    assert (embedding["kind"], embedding["state"], embedding["context"]) == (
        "embedding",
        "loaded",
        256,
    )


def test_chat_answers_whole_and_streamed_alike(client: httpx.Client) -> None:
    whole = client.post(CHAT, json=ask("hello")).json()
    said = whole["choices"][0]["message"]["content"]
    assert whole["model"] == "tiny"
    assert whole["usage"]["completion_tokens"] > 0
    with client.stream("POST", CHAT, json=ask("hello", stream=True)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        parts = list(events(response.iter_lines()))
    text = "".join(
        part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"]
    )
    assert text == said
    assert said
    assert listed(client, "tiny")["state"] == "loaded"


def test_the_official_client_chats_streams_and_embeds(node: Node) -> None:
    with openai.OpenAI(
        api_key="none", base_url="http://engine/v1", http_client=node.client()
    ) as official:
        messages: Any = [{"role": "user", "content": "hello"}]
        whole = official.chat.completions.create(model="tiny", messages=messages, max_tokens=8)
        assert whole.choices[0].message.content
        parts = official.chat.completions.create(
            model="tiny", messages=messages, max_tokens=8, stream=True
        )
        assert len(list(parts)) > 2
        text = official.completions.create(model="tiny", prompt="once", max_tokens=4)
        assert text.choices[0].text is not None
        vectors = official.embeddings.create(model=contract.EMBEDDING_MODEL, input=["a", "b"])
        assert len(vectors.data[1].embedding) == contract.EMBEDDING_DIMENSIONS
        with pytest.raises(openai.NotFoundError) as caught:
            official.chat.completions.create(model="gpt-4", messages=messages)
        assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (CHAT, "nowhere"),
        (CHAT, "tiny.gguf"),
        (CHAT, "../tiny"),
        (CHAT, contract.EMBEDDING_MODEL),
        ("/v1/completions", "nowhere"),
        ("/v1/embeddings", "tiny"),
        ("/count", "nowhere"),
    ],
)
def test_a_model_that_does_not_exist_is_an_error(
    client: httpx.Client, path: str, name: str
) -> None:
    request = {"model": name, "input": "x"} if "embed" in path else ask("x", model=name)
    response = client.post(path, json=request)
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"{}", 400),
        (b"\xff\xfe", 400),
        (b'{"model": "tiny"}', 400),
        (b'{"model": "tiny", "messages": "x"}', 400),
        (b'{"model": "tiny", "messages": [1]}', 400),
        (b'{"model": "tiny", "messages": [{"role": "user", "content": 5}]}', 400),
        (b'{"model": "tiny", "messages": [], "temperature": "hot"}', 400),
        (b'{"model": "tiny", "messages": [], "id_slot": 1}', 400),
        (b'{"model": "tiny", "messages": [{"role": "user", "content": NaN}]}', 400),
        (b"[" * 100_000, 400),
        (b" " * (24 << 20) + b"{}", 413),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(
    client: httpx.Client, content: bytes, status: int
) -> None:
    response = client.post(CHAT, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    error_of(response)


def test_refusals_do_not_repeat_the_request(client: httpx.Client, node: Node) -> None:
    bad: list[dict[str, Any]] = [
        ask(SECRET) | {"messages": [{"rule": "user", "content": SECRET}]},
        ask(SECRET, grammar=f"root ::= {SECRET}"),
        ask(SECRET, tools=[{"type": SECRET}]),
        ask(SECRET, response_format={"type": SECRET}),
        ask(SECRET)
        | {"messages": [{"role": "user", "content": [{"type": "text", "txt": SECRET}]}]},
    ]
    for request in bad:
        response = client.post(CHAT, json=request)
        assert response.status_code == 400, response.text
        assert SECRET not in response.text
    assert SECRET not in node.log


def test_a_conversation_over_the_context_is_refused(client: httpx.Client) -> None:
    context = client.post("/count", json=ask("x")).json()["context"]
    response = client.post(CHAT, json=ask("x" * (context + 100)))
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"
    assert str(context) in error_of(response)["message"]


def test_count_agrees_with_the_usage_of_the_answer(client: httpx.Client) -> None:
    counted = client.post("/count", json=ask("how many tokens are these?")).json()
    used = client.post(CHAT, json=ask("how many tokens are these?")).json()["usage"]
    assert counted["tokens"] == used["prompt_tokens"]
    assert counted["context"] > 0


def test_embeddings_rank_paraphrases_first(client: httpx.Client) -> None:
    texts = [
        "The washing machine is under warranty until March.",
        "Our washer is still covered by its guarantee until spring.",
        "The cat sleeps on the sofa all day.",
        "Grandmother's recipe for apple cake needs six apples.",
    ]
    answer = client.post(
        "/v1/embeddings", json={"model": contract.EMBEDDING_MODEL, "input": texts}
    ).json()
    vectors = np.array([entry["embedding"] for entry in answer["data"]])
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    likeness = vectors[1:] @ vectors[0]
    assert likeness[0] > 0.6
    assert max(likeness[1:]) < 0.3
    assert answer["goni"] == {"cut": []}
    assert answer["usage"]["prompt_tokens"] > 40


def test_embeddings_do_not_depend_on_their_neighbours(client: httpx.Client) -> None:
    texts = [f"sentence number {number} about topic {number % 7}" for number in range(150)]
    request = {"model": contract.EMBEDDING_MODEL, "encoding_format": "base64"}
    together = client.post("/v1/embeddings", json=request | {"input": texts}).json()["data"]
    for number in (0, 63, 64, 149):
        alone = client.post("/v1/embeddings", json=request | {"input": texts[number]}).json()
        one, other = (
            np.frombuffer(base64.b64decode(entry["embedding"]), "<f4")
            for entry in (alone["data"][0], together[number])
        )
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert [entry["index"] for entry in together] == list(range(150))


def test_a_text_that_is_too_long_is_cut_and_that_is_said(client: httpx.Client) -> None:
    long = "boiler " * 1000
    answer = client.post(
        "/v1/embeddings",
        json={"model": contract.EMBEDDING_MODEL, "input": ["short", long, "b" * 50_000]},
    ).json()
    assert answer["goni"]["cut"] == [1, 2]
    assert answer["usage"]["prompt_tokens"] <= 3 + 2 * 256
    cut = " ".join(["boiler"] * 254)
    same = client.post(
        "/v1/embeddings", json={"model": contract.EMBEDDING_MODEL, "input": cut}
    ).json()
    assert same["goni"]["cut"] == []
    one, other = (np.array(a["embedding"]) for a in (answer["data"][1], same["data"][0]))
    assert float(one @ other) > 0.9999


def test_a_client_that_hangs_up_frees_its_slot(client: httpx.Client, node: Node) -> None:
    slots = 4
    for streaming in (True, False):
        lost = [hang_up(node, stream=streaming) for _ in range(slots)]
        for connection in lost:
            connection.close()
        started = time.monotonic()
        client.post(CHAT, json=ask("now me", tokens=4)).raise_for_status()
        assert time.monotonic() - started < 3, "the slots were still taken"


def hang_up(node: Node, *, stream: bool) -> socket.socket:
    """A raw request for a long answer; streamed: waits for its first bytes."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(node.folder / "run/engine.sock"))
    request = ask("a very long story", tokens=15_000, stream=stream, ignore_eos=True)
    body = json.dumps(request).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: e\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    if stream:
        assert b"200" in connection.recv(200)
    else:
        time.sleep(0.3)
    return connection


def test_a_killed_llama_server_is_said_and_started_anew(client: httpx.Client, node: Node) -> None:
    endless = ask("a very long story", tokens=15_000, stream=True, ignore_eos=True)
    with ThreadPoolExecutor(1) as pool, client.stream("POST", CHAT, json=endless) as response:
        lines = response.iter_lines()
        next(lines)
        whole = pool.submit(client.post, CHAT, json=ask("waiting", tokens=15_000, ignore_eos=True))
        time.sleep(0.3)
        (child,) = node.children()
        os.kill(child, signal.SIGKILL)
        last = [part for part in events(lines) if "error" in part]
    assert [part["error"]["code"] for part in last] == ["engine_stopped"]
    failed = whole.result()
    assert failed.status_code == 503
    assert error_of(failed)["code"] == "engine_stopped"
    again = client.post(CHAT, json=ask("hello"))
    assert again.status_code == 200, again.text
    assert node.children() != [child]


def test_two_models_stay_loaded_side_by_side(
    client: httpx.Client, node: Node, tmp_path: Path
) -> None:
    other = write_tiny_chat_model(tmp_path / "other.gguf", seed=2).read_bytes()
    assert client.put("/models/other.gguf", content=other).status_code == 201
    with ThreadPoolExecutor(6) as pool:
        asked = [("tiny", "other")[number % 2] for number in range(6)]
        answers = list(
            pool.map(lambda name: client.post(CHAT, json=ask("who?", model=name)).json(), asked)
        )
    assert [answer["model"] for answer in answers] == asked
    assert len(node.children()) == 2
    assert client.delete("/models/other").status_code == 204
    assert not (node.models / "other.gguf").exists()
    assert client.post(CHAT, json=ask("x", model="other")).status_code == 404
    assert client.post(CHAT, json=ask("x")).status_code == 200


def test_deleting_a_loaded_model_stops_it(client: httpx.Client, node: Node, tmp_path: Path) -> None:
    brief = write_tiny_chat_model(tmp_path / "brief.gguf", seed=3).read_bytes()
    client.put("/models/brief.gguf", content=brief).raise_for_status()
    before = len(node.children())
    endless = ask("x", model="brief", tokens=15_000, stream=True, ignore_eos=True)
    with client.stream("POST", CHAT, json=endless) as response:
        lines = response.iter_lines()
        next(lines)
        with node.client() as second:
            assert second.delete("/models/brief.gguf").status_code == 204
        assert any("error" in part for part in events(lines))
    assert len(node.children()) == before
    assert client.delete("/models/brief.gguf").status_code == 404


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("tiny.bin", 400),
        (".tiny.gguf", 400),
        ("a,b.gguf", 400),
        (".gguf", 400),
        ("x" * 300 + ".gguf", 400),
        ("a%2Fb.gguf", 404),
        (f"{contract.EMBEDDING_MODEL}.gguf", 409),
    ],
)
def test_bad_names_are_refused(client: httpx.Client, model: Path, name: str, status: int) -> None:
    response = client.put(f"/models/{name}", content=model.read_bytes())
    assert response.status_code == status, response.text
    error_of(response)


def test_hostile_files_leave_nothing_behind(client: httpx.Client, node: Node, model: Path) -> None:
    whole = model.read_bytes()
    before = sorted(node.models.iterdir())
    hostile = [b"", b"PK\x03\x04" + bytes(100), b"GGUF" + b"\xff" * 100, whole[:-1], whole[:3000]]
    for content in hostile:
        response = client.put("/models/bad.gguf", content=content)
        assert response.status_code == 400, response.text
        assert error_of(response)["code"] == "bad_model"
    assert sorted(node.models.iterdir()) == before


def test_an_upload_that_breaks_off_leaves_nothing_behind(node: Node, model: Path) -> None:
    before = sorted(node.models.iterdir())
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(node.folder / "run/engine.sock"))
    connection.sendall(
        b"PUT /models/half.gguf HTTP/1.1\r\nHost: e\r\nContent-Length: 90000\r\n\r\n"
    )
    connection.sendall(model.read_bytes()[:50_000])
    eventually(lambda: len(list(node.models.iterdir())) == len(before) + 1)
    connection.close()
    eventually(lambda: sorted(node.models.iterdir()) == before)


def test_a_file_that_cannot_fit_is_refused_before_it_is_sent(node: Node) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(node.folder / "run/engine.sock"))
        size = 400 << 30
        connection.sendall(
            f"PUT /models/huge.gguf HTTP/1.1\r\nHost: e\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        answer = b""
        while block := connection.recv(4000):
            answer += block
    assert b"507" in answer.split(b"\r\n")[0]
    assert b"disk_full" in answer


def test_bringing_the_same_model_again_is_fine_and_another_is_a_conflict(
    client: httpx.Client, model: Path, tmp_path: Path
) -> None:
    assert client.put("/models/tiny.gguf", content=model.read_bytes()).status_code == 200
    other = write_tiny_chat_model(tmp_path / "other.gguf", seed=9).read_bytes()
    assert len(other) == model.stat().st_size
    response = client.put("/models/tiny.gguf", content=other)
    assert response.status_code == 409
    assert client.post(CHAT, json=ask("still there?")).status_code == 200


def test_the_embedding_model_cannot_be_deleted(client: httpx.Client) -> None:
    assert client.delete(f"/models/{contract.EMBEDDING_MODEL}").status_code == 403


def test_no_prompt_reaches_the_log(client: httpx.Client, node: Node) -> None:
    client.post(CHAT, json=ask(SECRET)).raise_for_status()
    client.post("/v1/embeddings", json={"model": contract.EMBEDDING_MODEL, "input": SECRET})
    for child in node.children():
        assert SECRET.encode() not in Path(f"/proc/{child}/cmdline").read_bytes()
    assert SECRET not in node.log
    assert "heron" not in node.log
