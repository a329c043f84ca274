"""Pictures through the engine's socket, by a real llama-server with a real, tiny projector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import projector
from tests.integration.engine_node import CHAT, Node, ask, running
from tests.models import TINY, write_tiny_chat_model
from tests.projector import png, url, write_tiny_projector

PICTURE_TOKENS = 16


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("engine")
    model = write_tiny_chat_model(folder / "tiny.gguf", seed=1).read_bytes()
    with running(folder) as started, started.client() as client:
        for name in ("tiny", "seeing", "late"):
            client.put(f"/models/{name}.gguf", content=model).raise_for_status()
        bring(client, "seeing.mmproj.gguf", write_tiny_projector(folder / "p").read_bytes())
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with node.client() as opened:
        opened.timeout = httpx.Timeout(300)
        yield opened


def bring(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    wanted = {"name": name, "bytes": len(content)}
    key = client.post("/incoming", json=wanted).raise_for_status().json()["id"]
    sent = client.patch(f"/incoming/{key}", content=content, headers={"Upload-Offset": "0"})
    found: dict[str, Any] = sent.json()
    return found


def look(*urls: str, model: str = "seeing", **more: Any) -> dict[str, Any]:
    """A request about pictures."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "what is this?"}]
    parts += [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    return ask("", model=model, messages=[{"role": "user", "content": parts}]) | more


def answered(client: httpx.Client, request: dict[str, Any]) -> tuple[str, int]:
    """The answer's text, and the prompt's tokens."""
    said = client.post(CHAT, json=request).raise_for_status().json()
    return said["choices"][0]["message"]["content"], said["usage"]["prompt_tokens"]


def test_an_answer_depends_on_the_picture(client: httpx.Client) -> None:
    blind, without = answered(client, look())
    one, tokens = answered(client, look(url(png(1))))
    other, _ = answered(client, look(url(png(2))))
    assert tokens >= without + PICTURE_TOKENS
    assert len({blind, one, other}) == 3
    assert answered(client, look(url(png(1))))[0] == one
    assert answered(client, look(url(png(1)), goni={"person": "ada"}))[0] == one
    assert answered(client, look(url(png(2)), goni={"person": "ada"}))[0] == other


def test_a_picture_is_counted_as_the_prompt_counts_it(client: httpx.Client) -> None:
    request = look(url(png(1)), url(png(2, 64, 48)))
    counted = client.post("/count", json=request).raise_for_status().json()
    assert counted["tokens"] == answered(client, request)[1]


def test_the_list_says_who_reads_pictures(client: httpx.Client) -> None:
    models = {entry["id"]: entry["goni"] for entry in client.get("/v1/models").json()["data"]}
    assert models["seeing"]["pictures"]
    assert not models["tiny"]["pictures"]
    assert "seeing.mmproj" not in models


def test_a_picture_for_a_model_that_reads_none_is_refused(client: httpx.Client) -> None:
    for path in (CHAT, "/count"):
        said = client.post(path, json=look(url(png(1)), model="tiny"))
        assert (said.status_code, said.json()["error"]["code"]) == (400, "no_pictures")
        assert said.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/a.png", "https://example.org/a.png", "file:///etc/passwd", "/etc/passwd"],
)
def test_a_picture_is_never_fetched(client: httpx.Client, address: str) -> None:
    for path in (CHAT, "/count"):
        said = client.post(path, json=look(address))
        assert (said.status_code, said.json()["error"]["code"]) == (400, "unsupported_picture")
        assert address not in said.text


def test_a_damaged_picture_is_the_askers_fault_and_harms_nobody(client: httpx.Client) -> None:
    broken = png(1)[:-40]
    said = client.post(CHAT, json=look(url(broken[:60] + bytes(300))))
    assert said.status_code == 400, said.text
    assert answered(client, look(url(png(1))))[0]


def test_a_projector_that_comes_later_is_used_from_then_on(
    client: httpx.Client, tmp_path: Path
) -> None:
    assert answered(client, ask("hello", model="late"))[0]
    bring(client, "late.mmproj.gguf", write_tiny_projector(tmp_path / "p").read_bytes())
    assert answered(client, look(url(png(1)), model="late"))[1] > PICTURE_TOKENS


def test_a_projector_goes_with_its_model(client: httpx.Client, node: Node, tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "m").read_bytes()
    client.put("/models/gone.gguf", content=model).raise_for_status()
    projector = write_tiny_projector(tmp_path / "p").read_bytes()
    assert bring(client, "gone.mmproj.gguf", projector)["complete"]
    assert client.delete("/models/gone").status_code == 204
    assert not list(node.models.glob("gone*"))
    refused = bring(client, "tiny.mmproj.gguf", model)
    assert refused["error"]["code"] == "unsupported_model"


def test_a_projector_of_another_model_can_be_taken_away_alone(
    client: httpx.Client, node: Node, tmp_path: Path
) -> None:
    """It has another width than the model: the load fails, and without it succeeds."""
    content = write_tiny_chat_model(tmp_path / "m").read_bytes()
    client.put("/models/odd.gguf", content=content).raise_for_status()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projector, "TINY", replace(TINY, width=64))
        wrong = write_tiny_projector(tmp_path / "p").read_bytes()
    assert bring(client, "odd.mmproj.gguf", wrong)["complete"]
    said = client.post(CHAT, json=ask("hello", model="odd"))
    assert (said.status_code, said.json()["error"]["code"]) == (503, "model_unusable")
    assert client.delete("/models/odd.draft.gguf").status_code == 404
    assert client.delete("/models/nothing.mmproj.gguf").status_code == 404
    assert client.delete("/models/odd.mmproj.gguf").status_code == 204
    assert client.post(CHAT, json=ask("hello", model="odd")).status_code == 200
    assert [path.name for path in node.models.glob("odd*")] == ["odd.gguf"]
    assert client.delete("/models/odd").status_code == 204
