"""What outlives a restart, what a start finds on the disk, and models that can't be loaded."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest

from goni_core import contract, paths, run
from tests.integration.engine_node import CHAT, Node, ask, events, running
from tests.models import write_tiny_chat_model


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as started:
        yield started


def forged(path: Path, architecture: str = "llama", **numbers: int) -> bytes:
    """A GGUF that is well-formed and describes a model that nobody can run."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(numbers.get("layers", 2))
    writer.add_embedding_length(64)
    writer.add_context_length(numbers.get("context", 512))
    writer.add_head_count(numbers.get("heads", 2))
    writer.add_token_list(["a", "b"])
    writer.add_tensor("w", np.zeros(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def models(client: httpx.Client) -> dict[str, dict[str, Any]]:
    listed = client.get("/v1/models").raise_for_status().json()["data"]
    return {entry["id"]: entry["goni"] for entry in listed}


def test_a_restart_keeps_models_and_ends_cleanly(node: Node, tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    with node.client() as client:
        client.put("/models/tiny.gguf", content=model.read_bytes()).raise_for_status()
        before = client.post(CHAT, json=ask("hello")).json()["choices"]
    (child,) = node.children()
    assert node.stop() == 0
    assert not Path(f"/proc/{child}").exists()
    assert not list(tmp_path.glob("goni-engine-*"))
    node.start()
    with node.client() as client:
        assert models(client)["tiny"]["state"] == "available"
        assert client.post(CHAT, json=ask("hello")).json()["choices"] == before


def test_a_killed_service_starts_again_and_sweeps_up(node: Node, tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    with node.client() as client:
        client.put("/models/tiny.gguf", content=model.read_bytes()).raise_for_status()
    node.stop(kill=True)
    (node.models / ".0123456789abcdef.incoming").write_bytes(b"half")
    (node.models / "broken.gguf").write_bytes(model.read_bytes()[:1000])
    node.start()
    assert not list(node.models.glob(".*"))
    with node.client() as client:
        found = models(client)
        assert (found["tiny"]["state"], found["broken"]["state"]) == ("available", "unusable")
        assert "truncated" in found["broken"]["reason"]
        response = client.post(CHAT, json=ask("x", model="broken"))
        assert response.status_code == 503
        assert "truncated" in response.json()["error"]["message"]
        client.put("/models/broken.gguf", content=model.read_bytes()).raise_for_status()
        assert client.post(CHAT, json=ask("x", model="broken")).status_code == 200


def test_a_model_that_does_not_load_is_unusable_with_the_reason(node: Node, tmp_path: Path) -> None:
    with node.client() as client:
        for name, architecture, words in (
            ("odd", "martian", "unknown model architecture"),
            ("hollow", "llama", "key not found"),
        ):
            content = forged(tmp_path / f"{name}.gguf", architecture)
            client.put(f"/models/{name}.gguf", content=content).raise_for_status()
            response = client.post(CHAT, json=ask("x", model=name))
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "model_unusable"
            found = models(client)[name]
            assert found["state"] == "unusable"
            assert words in found["reason"]
        assert client.get("/health").json()["ok"]


def test_a_model_that_cannot_fit_says_what_is_missing(node: Node, tmp_path: Path) -> None:
    content = forged(tmp_path / "huge.gguf", layers=1024, heads=65_536)
    content = content.replace(
        struct.pack("<Q", 22) + b"llama.embedding_length" + struct.pack("<II", 4, 64),
        struct.pack("<Q", 22) + b"llama.embedding_length" + struct.pack("<II", 4, 1 << 20),
    )
    with node.client() as client:
        client.put("/models/huge.gguf", content=content).raise_for_status()
        response = client.post(CHAT, json=ask("x", model="huge"))
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "no_memory"
        assert "MiB are missing" in response.json()["error"]["message"]
        assert models(client)["huge"]["state"] == "available"


def test_a_node_without_engine_says_so_and_still_answers(tmp_path: Path) -> None:
    node = Node(tmp_path, extra={"GONI_ENGINE": str(tmp_path / "nothing")})
    node.start()
    try:
        with node.client() as client:
            health = client.get("/health").json()
            assert not health["ok"]
            failed = {check["name"] for check in health["checks"] if not check["ok"]}
            assert failed == {"programs", "embedding numbers"}
            response = client.post(
                "/v1/embeddings", json={"model": contract.EMBEDDING_MODEL, "input": "x"}
            )
            assert response.status_code == 503
    finally:
        node.stop()


def test_a_damaged_embedding_model_fails_the_self_test(tmp_path: Path) -> None:
    shipped = (paths.models_dir() / contract.EMBEDDING_FILE).read_bytes()
    damaged = bytearray(shipped)
    damaged[-4_000_000::16] = bytes(len(damaged[-4_000_000::16]))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / contract.EMBEDDING_FILE).write_bytes(damaged)
    node = Node(tmp_path, extra={"GONI_MODELS": str(tmp_path / "models")})
    node.start()
    try:
        with node.client() as client:
            checks = {check["name"]: check for check in client.get("/health").json()["checks"]}
        assert not checks["embedding numbers"]["ok"]
        assert "wrong numbers" in checks["embedding numbers"]["detail"]
    finally:
        node.stop()


def test_crashes_without_an_answer_are_spaced_out(node: Node, tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    endless = ask("x", tokens=15_000, stream=True, ignore_eos=True)
    with node.client() as client:
        client.put("/models/tiny.gguf", content=model.read_bytes()).raise_for_status()
        for _ in range(3):
            # Loaded, counting, and in the midst of an answer, which stays without an end.
            assert client.post("/count", json=ask("x")).status_code == 200
            with client.stream("POST", CHAT, json=endless) as answer:
                lines = answer.iter_lines()
                next(lines)
                (child,) = node.children()
                os.kill(child, signal.SIGKILL)
                errors = [part for part in events(lines) if "error" in part]
            assert [part["error"]["code"] for part in errors] == ["engine_stopped"]
            wait_until_dead(child)
        final = client.post(CHAT, json=ask("x", tokens=1))
    assert final.status_code == 200
    assert final.elapsed.total_seconds() > 1.9
    for times, pause in ((1, 0.5), (2, 1.0), (3, 2.0)):
        assert f"ended by itself, {times} in a row; starts again after {pause} s" in node.log


@pytest.mark.parametrize("stream", [True, False])
def test_a_right_answer_begins_the_spacing_anew(node: Node, tmp_path: Path, stream: bool) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    with node.client() as client:
        client.put("/models/tiny.gguf", content=model.read_bytes()).raise_for_status()
        for _ in range(5):
            asked = ask("x", tokens=1, stream=stream)
            client.post(CHAT, json=asked).raise_for_status()
            (child,) = node.children()
            os.kill(child, signal.SIGKILL)
            wait_until_dead(child)
        client.post(CHAT, json=ask("x", tokens=1)).raise_for_status()
    assert node.log.count("ended by itself, 1 in a row; starts again after 0.5 s") == 5
    assert "2 in a row" not in node.log


def wait_until_dead(process: int) -> None:
    """Wait until its parent has noticed that it is gone."""
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def engine(node: Node, *words: str, check: bool = True) -> run.Completed:
    return run.run(
        [sys.executable, "-m", "goni_engine", *words],
        timeout=30,
        env={"GONI_RUN": str(node.folder / "run")},
        check=check,
    )


def test_the_command_lists_models_and_looks_into_files(node: Node, tmp_path: Path) -> None:
    assert "examples:" in engine(node).text
    listed = json.loads(engine(node, "models", "--json").stdout)
    assert [model["id"] for model in listed] == [contract.EMBEDDING_MODEL]
    assert contract.EMBEDDING_MODEL in engine(node, "models").text
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    assert "chat" in engine(node, "check", str(model)).text
    assert json.loads(engine(node, "check", "--json", str(model)).stdout)["layers"] == 2
    model.write_bytes(b"PK\x03\x04")
    refused = engine(node, "check", str(model), check=False)
    assert refused.returncode == 1
    assert b"error: this is a ZIP archive" in refused.stderr
    node.stop()
    absent = engine(node, "models", check=False)
    assert absent.returncode == 1
    assert b"the engine does not answer" in absent.stderr
