"""Nodes know what their peers can take on: real engines, real channels."""

from __future__ import annotations

import pytest

from tests.integration import engine_node
from tests.integration.engine_node import CHAT, ask
from tests.integration.mesh_node import Node, eventually, nodes
from tests.models import write_tiny_chat_model


def seen(node: Node, other: Node) -> list[dict]:
    found = [one for one in node.ask("GET", "/nodes")["nodes"] if one["id"] == other.id]
    return found[0]["load"]["models"] if found else []


def test_a_peer_tells_what_it_has_and_how_fast_it_is(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with nodes(tmp_path_factory.mktemp("m"), 2) as (first, second):
        first.found()
        first.pair(second)
        eventually(lambda: first.sees(second) and second.sees(first))
        eventually(lambda: seen(first, second) == [])
        folder = second.base
        engine = engine_node.Node(folder)
        engine.models.mkdir(parents=True)
        write_tiny_chat_model(engine.models / "tiny.gguf")
        engine.start()
        try:
            eventually(lambda: [one["state"] for one in seen(first, second)] == ["available"])
            with engine.client() as client:
                asked = ask("tell me more " * 20, tokens=64)
                answered = client.post(CHAT, json=asked, timeout=600)
                assert answered.status_code == 200, answered.text + engine.log
            eventually(lambda: bool(seen(first, second)) and seen(first, second)[0]["decode"] > 0)
            said = seen(first, second)[0]
            assert said["state"] == "loaded"
            assert said["slots"] > 0
            assert said["context"] > 0
            assert said["prefill"] > 0
            assert said["tag"]
        finally:
            engine.stop()
        eventually(lambda: seen(first, second) == [])
