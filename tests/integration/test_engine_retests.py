"""Self-tests in the background: by themselves, once for each build and file, reported after a
restart.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goni_core import paths
from tests.integration.engine_node import Node
from tests.models import write_tiny_chat_model


def numbers(node: Node) -> dict[str, Any]:
    with node.client() as client:
        checks = client.get("/health").raise_for_status().json()["checks"]
    return next(check for check in checks if check["name"] == "chat numbers")


def until(node: Node, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 120
    while not ready(found := numbers(node)):
        assert time.monotonic() < end, (found, node.log)
        time.sleep(0.05)
    return found


def engine_of(folder: Path, key: str) -> Path:
    """This machine's engine under another build's key."""
    folder.mkdir()
    for name in ("bin", "lib", "python"):
        (folder / name).symlink_to((paths.engine_dir() / name).resolve())
    (folder / "key").write_text(key)
    return folder


def test_a_model_is_tested_by_itself_and_again_when_the_engine_changes(tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    first, second = (engine_of(tmp_path / key, key) for key in ("first", "second"))
    node = Node(tmp_path, extra={"GONI_QUIET_S": "0.2", "GONI_ENGINE": str(first)})
    node.start()
    try:
        with node.client() as client:
            client.put("/models/tiny.gguf", content=model.read_bytes()).raise_for_status()
        found = until(node, lambda check: "1 tested on this version" in check["detail"])
        assert found["ok"] and "still to be tested" not in found["detail"]
        end = time.monotonic() + 30
        while node.children():  # it was loaded for the test alone
            assert time.monotonic() < end
            time.sleep(0.05)
        kept = (node.folder / "state/engine/selftests.json").read_text()
        assert json.loads(kept)["tiny"]["ok"]
        node.stop()

        node.extra["GONI_QUIET_S"] = "3600"
        node.start()
        assert numbers(node) == found
        assert node.children() == []
        node.stop()

        # An update: until the model is tested again the boot does not count as good.
        node.extra["GONI_ENGINE"] = str(second)
        node.start()
        waiting = numbers(node)
        assert not waiting["ok"] and "still to be tested: tiny" in waiting["detail"]
        node.stop()
        node.extra["GONI_QUIET_S"] = "0.2"
        node.start()
        assert until(node, lambda check: bool(check["ok"])) == found
        with node.client() as client:
            assert client.delete("/models/tiny").status_code == 204
        assert "0 tested" in numbers(node)["detail"]
        assert json.loads((node.folder / "state/engine/selftests.json").read_text()) == {}
    finally:
        node.stop()
