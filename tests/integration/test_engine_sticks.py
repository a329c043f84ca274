"""Models from sticks, with the running engine; a folder stands for what the system mounts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hostile import hostile
from tests.integration.engine_node import CHAT, Node, ask, running
from tests.models import write_tiny_chat_model

STICK = r"sda1:My\x20Stick"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_chat_model(tmp_path_factory.mktemp("gguf") / "m.gguf", seed=4).read_bytes()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("engine")) as started:
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with node.client() as opened:
        yield opened


@pytest.fixture
def stick(node: Node) -> Iterator[Path]:
    """A stick that is plugged in."""
    folder = node.folder / "run/sticks" / STICK
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder.parent)


def files(client: httpx.Client) -> dict[str, str]:
    """The paths on the one stick, and why they can't be brought in."""
    (found,) = client.get("/sticks").raise_for_status().json()["sticks"]
    assert (found["id"], found["label"]) == (STICK, "My Stick")
    return {file["path"]: file["reason"] for file in found["files"]}


def bring(client: httpx.Client, path: str, where: str = STICK) -> httpx.Response:
    return client.post("/sticks/imports", json={"stick": where, "path": path})


def ended(client: httpx.Client, key: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while True:
        found = {one["id"]: one for one in client.get("/sticks").json()["imports"]}
        if found[key]["state"] != "running":
            return dict(found[key])
        assert time.monotonic() < end
        time.sleep(0.05)


def test_no_stick_is_no_error(client: httpx.Client) -> None:
    assert client.get("/sticks").json() == {"sticks": [], "imports": []}
    assert bring(client, "m.gguf").status_code == 404


def test_a_model_comes_from_a_stick_and_answers(
    client: httpx.Client, stick: Path, content: bytes
) -> None:
    (stick / "models/small").mkdir(parents=True)
    (stick / "models/small/brought.gguf").write_bytes(content)
    (stick / "holiday.jpg").write_bytes(b"not ours to look at")
    assert files(client) == {"models/small/brought.gguf": ""}
    begun = bring(client, "models/small/brought.gguf")
    assert (begun.status_code, begun.json()["bytes"]) == (202, len(content))
    done = ended(client, begun.json()["id"])
    assert (done["state"], done["offset"], done["name"]) == ("done", len(content), "brought.gguf")
    assert client.post(CHAT, json=ask("hello", model="brought")).status_code == 200
    again = bring(client, "models/small/brought.gguf")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert client.delete(f"/sticks/imports/{done['id']}").status_code == 204
    assert client.get("/sticks").json()["imports"] == []
    assert client.delete(f"/sticks/imports/{done['id']}").status_code == 404
    assert client.post(CHAT, json=ask("hello", model="brought")).status_code == 200


def test_links_pipes_and_what_is_hidden_are_not_looked_at(
    client: httpx.Client, stick: Path, node: Node, content: bytes
) -> None:
    secret = node.folder / "secret"
    secret.mkdir()
    (secret / "private.gguf").write_bytes(content)
    (stick / "out.gguf").symlink_to(secret / "private.gguf")
    (stick / "folder").symlink_to(secret)
    (stick / ".Trash").mkdir()
    (stick / ".Trash/old.gguf").write_bytes(content)
    os.mkfifo(stick / "pipe.gguf")
    (node.folder / "run/sticks/sdb1:EVIL").symlink_to(secret)
    (node.folder / "run/sticks/sdc1:GONE").mkdir()
    assert files(client) == {}
    for path in ("out.gguf", "folder/private.gguf", "pipe.gguf", "../../../secret/private.gguf"):
        assert bring(client, path).status_code == 404
    assert bring(client, "private.gguf", "sdb1:EVIL").status_code == 404
    assert bring(client, "secret/private.gguf", "../..").status_code == 404
    assert client.get("/sticks").json()["imports"] == []


def test_what_is_no_model_is_refused_with_the_reason_and_leaves_nothing(
    client: httpx.Client, stick: Path, node: Node, content: bytes
) -> None:
    (stick / "zip.gguf").write_bytes(b"PK\x03\x04" * 64)
    (stick / "empty.gguf").write_bytes(b"")
    (stick / "cut.gguf").write_bytes(content[:-5000])
    (stick / "a,b.gguf").write_bytes(content)
    os.mknod(os.fsencode(stick) + b"/\xff.gguf")
    for name, forged in hostile(content).items():
        (stick / f"h-{name}.gguf").write_bytes(forged)
    listed = files(client)
    assert listed["zip.gguf"] == listed["empty.gguf"] == "this is not a GGUF file"
    assert "no comma" in listed["a,b.gguf"]
    assert listed[r"\udcff.gguf"] == "its name can't be read"
    for name in [name for name in listed if name.startswith(("zip", "cut", "h-"))]:
        begun = bring(client, name)
        assert begun.status_code == 202, begun.text
        failed = ended(client, begun.json()["id"])
        assert failed["state"] == "failed" and failed["reason"], name
        client.delete(f"/sticks/imports/{failed['id']}").raise_for_status()
    assert bring(client, "empty.gguf").status_code == 400
    assert not list((node.folder / "state/engine/incoming").iterdir())
    assert client.get("/health").json()["ok"]


def test_an_import_can_be_cancelled_and_leaves_nothing(
    client: httpx.Client, stick: Path, node: Node, content: bytes
) -> None:
    with (stick / "large.gguf").open("wb") as file:
        file.write(content)
        file.truncate(400 << 20)
    begun = bring(client, "large.gguf").json()
    assert client.delete(f"/sticks/imports/{begun['id']}").status_code == 204
    assert client.get("/sticks").json()["imports"] == []
    assert not list((node.folder / "state/engine/incoming").iterdir())
    assert "large" not in {model["id"] for model in client.get("/v1/models").json()["data"]}


def test_a_stick_full_of_files_is_looked_at_for_a_while_only(
    client: httpx.Client, stick: Path
) -> None:
    for folder in range(20):
        (stick / f"{folder:03}").mkdir()
        for file in range(300):
            (stick / f"{folder:03}/{file:04}.gguf").touch()
    assert len(files(client)) == 100
