"""Uploads through the front door and the page's kept chats, against the stand-in behind it."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from typing import Any

import httpx
import pytest

from tests.integration.gateway_node import Node, StandIn, source


@pytest.fixture
def node(served: tuple[Node, StandIn]) -> Node:
    return served[0]


@pytest.fixture(scope="module")
def browser(served: tuple[Node, StandIn]) -> httpx.Client:
    return served[0].signed_in()


@pytest.fixture
def behind(served: tuple[Node, StandIn]) -> StandIn:
    return served[1].reset()


def test_an_upload_goes_through_to_the_engine_with_its_length(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    content = os.urandom(5 << 20)
    said = browser.put("/api/models/a%20model.gguf", content=content)
    assert said.status_code == 201
    assert said.json()["announced"] == str(len(content))
    assert behind.uploads["a model.gguf"] == len(content)


def test_an_upload_that_the_engine_refuses_ends_early_with_its_reason(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    said = browser.put("/api/models/refused.gguf", content=bytes(40 << 20))
    assert said.status_code == 507
    assert said.json()["error"]["code"] == "disk_full"


def test_an_upload_without_a_length_is_refused(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    said = browser.put("/api/models/x.gguf", content=iter([b"x"]))
    assert said.status_code == 400


@pytest.mark.parametrize("name", ["a%2Fb.gguf", "..%2Fb.gguf", ".hidden", "a%00b", "%20"])
def test_a_name_that_is_no_plain_file_name_is_refused(
    browser: httpx.Client, node: Node, behind: StandIn, name: str
) -> None:
    said = browser.put(f"/api/models/{name}", content=b"x")
    assert said.status_code == 400
    assert said.json()["error"]["code"] == "bad_name"


def test_an_upload_cut_short_reaches_the_engine_as_cut_short(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    head = (
        f"PUT /api/models/cut.gguf HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\n"
        f"Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 1000000\r\n\r\n"
    )
    trusted = ssl.create_default_context(cafile=node.crt)
    with (
        socket.create_connection(("127.0.0.1", node.port)) as plain,
        trusted.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(head.encode() + b"x" * 1000)
    time.sleep(0.5)
    assert "cut.gguf" not in behind.uploads
    assert browser.get("/api/me").status_code == 200


# --- kept chats ----------------------------------------------------------------------------


def sent(browser: httpx.Client, chat: str, model: str, content: str) -> list[dict[str, Any]]:
    body = {"model": model, "content": content}
    said = browser.post(f"/api/chats/{chat}/messages", json=body)
    assert said.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in said.text.split("\n\n") if line]
    return [json.loads(event) for event in events if event != "[DONE]"]


def test_a_chat_is_kept_with_its_sources_and_continued(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    behind.sources = [source("cats.pdf", "The cat is blue.")]
    chat = browser.post("/api/chats").json()["id"]
    assert sent(browser, chat, "tiny", "What about the cat?")[0]["goni"]["sources"]
    kept = browser.get(f"/api/chats/{chat}").json()
    assert kept["title"] == "What about the cat?"
    assert [message["content"] for message in kept["messages"]] == [
        "What about the cat?",
        "Hello there",
    ]
    assert kept["messages"][1]["goni"]["sources"][0]["document"] == "cats.pdf"
    assert not kept["messages"][1]["stopped"]
    sent(browser, chat, "tiny", "And the dog?")
    assert kept["messages"][1]["goni"]["citations"] == []
    first, second = (asked["messages"] for asked in behind.asked)
    assert second[0] == first[0]
    contents = [message["content"] for message in second[1:]]
    assert contents[:2] == ["What about the cat?", "Hello there"]
    assert contents[2].endswith("Question: And the dog?")
    assert browser.delete(f"/api/chats/{chat}").json() == {"deleted": True}
    assert browser.get(f"/api/chats/{chat}").status_code == 404


def test_a_stopped_answer_is_kept_as_stopped(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    chat = browser.post("/api/chats").json()["id"]
    body = {"model": "endless", "content": "go on"}
    with browser.stream("POST", f"/api/chats/{chat}/messages", json=body) as said:
        for block in said.iter_text():
            if "on " in block:
                break
    assert behind.hung_up.wait(1)
    kept: list[dict[str, Any]] = []
    for _ in range(40):
        kept = browser.get(f"/api/chats/{chat}").json()["messages"]
        if kept:
            break
        time.sleep(0.05)
    assert kept[1]["stopped"]
    assert kept[1]["content"].startswith("Hello on ")


def test_a_question_to_which_the_model_says_nothing_is_kept(browser: httpx.Client) -> None:
    chat = browser.post("/api/chats").json()["id"]
    body = {"model": "silent", "content": "Are you there?"}
    assert "[DONE]" in browser.post(f"/api/chats/{chat}/messages", json=body).text
    kept = browser.get(f"/api/chats/{chat}").json()["messages"]
    assert [(message["content"], message["stopped"]) for message in kept] == [
        ("Are you there?", False),
        ("", False),
    ]


def test_a_chat_deleted_while_it_is_answered_stays_deleted(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    chat = browser.post("/api/chats").json()["id"]
    ended = threading.Event()

    def ask() -> None:
        body = {"model": "endless", "content": "go on"}
        other = node.signed_in()
        with other.stream("POST", f"/api/chats/{chat}/messages", json=body) as said:
            for _ in zip(range(3), said.iter_text(), strict=False):
                pass
            browser.delete(f"/api/chats/{chat}")
        ended.set()

    asking = threading.Thread(target=ask)
    asking.start()
    assert ended.wait(20)
    asking.join()
    assert behind.hung_up.wait(1)
    time.sleep(0.3)
    assert browser.get(f"/api/chats/{chat}").status_code == 404


def test_an_unknown_chat_and_an_unknown_model_are_errors(
    browser: httpx.Client, node: Node, behind: StandIn
) -> None:
    body = {"model": "tiny", "content": "hello"}
    assert browser.post("/api/chats/ffff/messages", json=body).status_code == 404
    chat = browser.post("/api/chats").json()["id"]
    said = browser.post(f"/api/chats/{chat}/messages", json={**body, "model": "huge"})
    assert said.json()["error"]["code"] == "model_not_found"
    assert browser.get(f"/api/chats/{chat}").json()["messages"] == []
    assert chat not in browser.get("/api/chats").text
