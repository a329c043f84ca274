"""Model files that come in pieces: continued after a hang-up, a restart and a kill, checked at the
end, limited in number, and never in the way of what is here already.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hostile import hostile
from tests.integration.engine_node import CHAT, Node, ask, running
from tests.models import write_tiny_chat_model
from tests.projector import write_tiny_projector


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_chat_model(tmp_path_factory.mktemp("gguf") / "m.gguf", seed=3).read_bytes()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("engine")) as started:
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with node.client() as opened:
        yield opened
        for one in opened.get("/incoming").json()["incoming"]:
            opened.delete(f"/incoming/{one['id']}")
        for model in opened.get("/v1/models").json()["data"]:
            if model["goni"]["kind"] == "chat":
                opened.delete(f"/models/{model['id']}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def start(client: httpx.Client, name: str, data: bytes, **more: str) -> dict[str, Any]:
    body = {"name": name, "bytes": len(data), **more}
    said = client.post("/incoming", json=body)
    assert said.status_code in (200, 201), said.text
    found: dict[str, Any] = said.json()
    return found


def send(client: httpx.Client, key: str, offset: int, data: bytes) -> httpx.Response:
    return client.patch(
        f"/incoming/{key}", content=data, headers={"upload-offset": str(offset)}, timeout=60
    )


def code_of(said: httpx.Response) -> str:
    return str(said.json()["error"]["code"])


def left(node: Node) -> list[str]:
    folder = node.folder / "state/engine/incoming"
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_in_pieces_and_chats(
    client: httpx.Client, node: Node, content: bytes
) -> None:
    key = start(client, "pieces.gguf", content, sha256=sha256(content))["id"]
    third = len(content) // 3
    for offset in (0, third, 2 * third):
        piece = content[offset : offset + third if offset < 2 * third else None]
        said = send(client, key, offset, piece).json()
        assert said["offset"] == offset + len(piece)
    assert (said["complete"], said["model"]["id"]) == (True, "pieces")
    assert (node.models / "pieces.gguf").read_bytes() == content
    assert left(node) == []
    assert client.get(f"/incoming/{key}").status_code == 404
    answer = client.post(CHAT, json=ask("hello", model="pieces", tokens=4)).json()
    assert answer["usage"]["completion_tokens"] > 0


def test_what_came_before_a_hang_up_counts(
    client: httpx.Client, node: Node, content: bytes
) -> None:
    key = start(client, "hung.gguf", content, sha256=sha256(content))["id"]
    head = (
        f"PATCH /incoming/{key} HTTP/1.1\r\nHost: engine\r\nUpload-Offset: 0\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(node.folder / "run/engine.sock"))
        raw.sendall(head + content[:300_000])
    offset = settled(client, key)
    assert 0 < offset <= 300_000
    assert send(client, key, offset, content[offset:]).json()["complete"]
    assert (node.models / "hung.gguf").read_bytes() == content


def settled(client: httpx.Client, key: str) -> int:
    """The offset once the broken request is over."""
    for _ in range(100):
        said = client.get(f"/incoming/{key}").json()
        if not said["busy"] and said["offset"]:
            return int(said["offset"])
        time.sleep(0.05)
    raise AssertionError("the broken request never ended")


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_restart_loses_nothing_that_was_acknowledged(
    tmp_path: Path, content: bytes, kill: bool
) -> None:
    with running(tmp_path) as node:
        with node.client() as client:
            key = start(client, "again.gguf", content, sha256=sha256(content))["id"]
            half = len(content) // 2
            assert send(client, key, 0, content[:half]).status_code == 200
        node.stop(kill=kill)
        # What a power cut can leave behind the last noted byte is not believed.
        with (tmp_path / f"state/engine/incoming/{key}.part").open("ab") as part:
            part.write(b"garbage")
        node.start()
        with node.client() as client:
            assert client.get("/incoming").json()["incoming"][0]["offset"] == half
            again = start(client, "again.gguf", content, sha256=sha256(content))
            assert (again["id"], again["offset"]) == (key, half)
            assert send(client, key, half, content[half:]).json()["complete"]
        assert (node.models / "again.gguf").read_bytes() == content


def test_a_file_whose_last_byte_came_before_a_restart_is_finished_by_an_empty_body(
    tmp_path: Path, content: bytes
) -> None:
    with running(tmp_path) as node:
        with node.client() as client:
            key = start(client, "late.gguf", content)["id"]
            send(client, key, 0, content[:-1])
        node.stop()
        folder = tmp_path / "state/engine/incoming"
        with (folder / f"{key}.part").open("ab") as part:
            part.write(content[-1:])
        note = json.loads((folder / f"{key}.json").read_text())
        (folder / f"{key}.json").write_text(json.dumps(note | {"offset": len(content)}))
        (folder / "stray.part").write_bytes(b"nobody's")
        node.start()
        with node.client() as client:
            assert send(client, key, len(content), b"").json()["model"]["id"] == "late"
        assert left(node) == []


def test_a_wrong_hash_is_refused_and_leaves_nothing(
    client: httpx.Client, node: Node, content: bytes
) -> None:
    key = start(client, "wrong.gguf", content, sha256=sha256(b"another file"))["id"]
    said = send(client, key, 0, content)
    assert (said.status_code, code_of(said)) == (400, "wrong_hash")
    assert left(node) == []
    assert not (node.models / "wrong.gguf").exists()


@pytest.mark.parametrize("kind", list(hostile(bytes(8192))))
def test_hostile_files_are_refused_at_the_end_and_leave_nothing(
    client: httpx.Client, node: Node, content: bytes, kind: str
) -> None:
    data = hostile(content)[kind]
    key = start(client, "hostile.gguf", data, sha256=sha256(data))["id"]
    said = send(client, key, 0, data)
    assert (said.status_code, code_of(said)) == (400, "bad_model")
    assert left(node) == []
    assert not (node.models / "hostile.gguf").exists()
    assert client.get("/health").status_code == 200


def test_another_offset_is_a_conflict(client: httpx.Client, content: bytes) -> None:
    key = start(client, "offset.gguf", content)["id"]
    assert code_of(send(client, key, 5, content[5:])) == "wrong_offset"
    assert client.get(f"/incoming/{key}").json()["offset"] == 0
    for header in ("", "-1", "x", "9" * 30):
        said = client.patch(f"/incoming/{key}", headers={"upload-offset": header})
        assert code_of(said) == "bad_offset"


def test_more_bytes_than_promised_are_refused(client: httpx.Client, content: bytes) -> None:
    key = start(client, "more.gguf", content)["id"]
    assert send(client, key, 0, content + b"x").status_code == 413
    endless = iter([content, content])
    said = client.patch(f"/incoming/{key}", content=endless, headers={"upload-offset": "0"})
    assert said.status_code == 413
    assert client.get(f"/incoming/{key}").json()["offset"] <= len(content)


def test_a_name_is_taken_once(client: httpx.Client, content: bytes) -> None:
    key = start(client, "taken.gguf", content, tag="mine")["id"]
    assert start(client, "taken.gguf", content, tag="mine")["id"] == key
    other = {"name": "taken.gguf", "bytes": len(content), "tag": "yours"}
    assert client.post("/incoming", json=other).status_code == 409
    send(client, key, 0, content)
    assert client.post("/incoming", json=other).status_code == 409
    shipped = {"name": "all-MiniLM-L6-v2.gguf", "bytes": 9}
    assert client.post("/incoming", json=shipped).status_code == 409


def test_without_hash_and_tag_nothing_is_continued_by_name_alone(
    client: httpx.Client, content: bytes
) -> None:
    start(client, "anonymous.gguf", content)
    body = {"name": "anonymous.gguf", "bytes": len(content)}
    assert client.post("/incoming", json=body).status_code == 409


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "a/b.gguf"}, 400),
        ({"name": "model.bin"}, 400),
        ({"name": ".gguf"}, 400),
        ({"bytes": 0}, 400),
        ({"bytes": -1}, 400),
        ({"bytes": 1 << 59}, 413),
        ({"sha256": "abc"}, 400),
        ({"more": 1}, 400),
    ],
)
def test_bad_requests_are_refused(
    client: httpx.Client, changes: dict[str, Any], status: int
) -> None:
    body = {"name": "fine.gguf", "bytes": 5000} | changes
    assert client.post("/incoming", json=body).status_code == status


def test_only_so_many_can_be_unfinished(client: httpx.Client, content: bytes) -> None:
    for number in range(8):
        start(client, f"many-{number}.gguf", content)
    said = client.post("/incoming", json={"name": "one-more.gguf", "bytes": 5000})
    assert said.status_code == 429
    assert said.headers["retry-after"]


def test_a_file_without_room_is_refused_before_it_is_sent(client: httpx.Client, node: Node) -> None:
    free = shutil.disk_usage(node.folder).free
    said = client.post("/incoming", json={"name": "huge.gguf", "bytes": free})
    assert (said.status_code, code_of(said)) == (507, "disk_full")
    assert "are missing" in said.json()["error"]["message"]
    # What others were promised counts too.
    client.post("/incoming", json={"name": "first.gguf", "bytes": free * 2 // 3})
    said = client.post("/incoming", json={"name": "second.gguf", "bytes": free * 2 // 3})
    assert said.status_code == 507


def test_an_old_unfinished_file_is_given_up(tmp_path: Path, content: bytes) -> None:
    with running(tmp_path) as node:
        with node.client() as client:
            key = start(client, "old.gguf", content)["id"]
            send(client, key, 0, content[:1000])
        node.stop()
        path = tmp_path / f"state/engine/incoming/{key}.json"
        note = json.loads(path.read_text())
        path.write_text(json.dumps(note | {"touched": note["touched"] - 8 * 24 * 3600}))
        node.start()
        with node.client() as client:
            assert client.get("/incoming").json() == {"incoming": []}
        assert left(node) == []


def test_an_unfinished_file_can_be_removed(
    client: httpx.Client, node: Node, content: bytes
) -> None:
    key = start(client, "gone.gguf", content)["id"]
    send(client, key, 0, content[:1000])
    assert client.delete(f"/incoming/{key}").status_code == 204
    assert left(node) == []
    assert client.delete(f"/incoming/{key}").status_code == 404


def test_the_catalog_tells_what_fits_and_what_is_here(client: httpx.Client, content: bytes) -> None:
    said = client.get("/catalog").json()
    offers = {offer["id"]: offer for offer in said["models"]}
    assert said["hub"].startswith("https://")
    assert not offers["granite-4.0-h-tiny"]["here"]
    key = start(client, "granite-4.0-h-tiny.gguf", content)["id"]
    send(client, key, 0, content)
    offers = {offer["id"]: offer for offer in client.get("/catalog").json()["models"]}
    assert offers["granite-4.0-h-tiny"]["here"]
    assert all(offer["words"] for offer in offers.values())
    for offer in offers.values():
        assert offer["fits"] == (offer["missing_memory"] == 0)
        assert offer["files"][0]["name"] == f"{offer['id']}.gguf"


def test_a_projector_comes_beside_its_model_and_goes_with_it(
    client: httpx.Client, node: Node, content: bytes, tmp_path: Path
) -> None:
    projector = write_tiny_projector(tmp_path / "p.gguf").read_bytes()
    key = start(client, "seeing.mmproj.gguf", projector)["id"]
    said = send(client, key, 0, projector).json()
    assert (said["complete"], said["model"]) == (True, None)
    key = start(client, "seeing.gguf", content)["id"]
    assert send(client, key, 0, content).json()["model"]["id"] == "seeing"
    again = {"name": "seeing.mmproj.gguf", "bytes": len(projector)}
    assert client.post("/incoming", json=again).status_code == 409
    listed = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert "seeing" in listed
    assert "seeing.mmproj" not in listed
    assert (node.models / "seeing.mmproj.gguf").exists()
    assert client.delete("/models/seeing").status_code == 204
    assert not (node.models / "seeing.mmproj.gguf").exists()
    key = start(client, "blind.mmproj.gguf", content)["id"]
    assert code_of(send(client, key, 0, content)) == "unsupported_model"
