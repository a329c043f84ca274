"""Pictures in the page's chats: what the model gets to see, what is kept, and for whom."""

from __future__ import annotations

import sqlite3
from typing import Any

import httpx
import pytest

from goni_gateway import pictures
from tests.integration.gateway_node import Node, StandIn
from tests.projector import png, url

ONE, TWO = png(1), png(2)


@pytest.fixture
def behind(served: tuple[Node, StandIn]) -> StandIn:
    return served[1].reset()


@pytest.fixture(scope="module")
def browser(served: tuple[Node, StandIn]) -> httpx.Client:
    return served[0].signed_in()


@pytest.fixture
def chat(browser: httpx.Client) -> str:
    return str(browser.post("/api/chats").json()["id"])


def ask(
    browser: httpx.Client, chat: str, *urls: Any, model: str = "sees", content: str = "what?"
) -> httpx.Response:
    body = {"model": model, "content": content, "pictures": list(urls)}
    return browser.post(f"/api/chats/{chat}/messages", json=body, timeout=60)


def seen(behind: StandIn, asked: int = -1) -> list[list[str]]:
    """The pictures in each message of the person that the engine was sent."""
    asked_of = [one for one in behind.asked[asked]["messages"] if one["role"] == "user"]
    return [
        [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
        if isinstance(content, list)
        else []
        for content in (message["content"] for message in asked_of)
    ]


def test_a_picture_is_shown_kept_and_shown_again(
    browser: httpx.Client, behind: StandIn, chat: str
) -> None:
    assert "[DONE]" in ask(browser, chat, url(ONE), url(TWO)).text
    question = behind.asked[0]["messages"][-1]["content"]
    assert {"type": "text", "text": "what?"} in question
    assert seen(behind) == [[url(ONE), url(TWO)]]
    assert "[DONE]" in ask(browser, chat).text
    assert seen(behind) == [[url(ONE), url(TWO)], []]
    question, answer, *_ = browser.get(f"/api/chats/{chat}").json()["messages"]
    assert (len(question["pictures"]), answer["pictures"]) == (2, [])
    for number, picture in zip(question["pictures"], (ONE, TWO), strict=True):
        kept = browser.get(f"/api/chats/{chat}/pictures/{number}")
        assert (kept.content, kept.headers["content-type"]) == (picture, "image/png")
        assert kept.headers["x-content-type-options"] == "nosniff"
        assert kept.headers["cache-control"] == "no-store"


def test_a_picture_is_its_owners_alone_and_goes_with_the_chat(
    served: tuple[Node, StandIn], browser: httpx.Client, behind: StandIn, chat: str
) -> None:
    ask(browser, chat, url(ONE))
    (number,) = browser.get(f"/api/chats/{chat}").json()["messages"][0]["pictures"]
    path = f"/api/chats/{chat}/pictures/{number}"
    member = served[0].joined("Bob")
    own = member.post("/api/chats").json()["id"]
    assert "[DONE]" in ask(member, own, url(TWO)).text
    assert member.get(path).status_code == 404
    assert member.get(f"/api/chats/{own}/pictures/{number}").status_code == 404
    assert served[0].client().get(path).status_code == 401
    for odd in ("x", "0", "-1", "1e3", "9" * 30):
        assert browser.get(f"/api/chats/{chat}/pictures/{odd}").status_code == 404
    assert browser.delete(f"/api/chats/{chat}").status_code == 200
    assert browser.get(path).status_code == 404
    database = sqlite3.connect(served[0].state / "gateway/gateway.db")
    rows = database.execute("SELECT count(*) FROM pictures WHERE id = ?", (number,)).fetchone()
    database.close()
    assert rows == (0,)


def test_the_latest_pictures_are_shown_and_what_is_left_out_is_said(
    browser: httpx.Client, behind: StandIn, chat: str
) -> None:
    for seed in range(3):
        assert "[DONE]" in ask(browser, chat, *(url(png(4 * seed + n)) for n in range(4))).text
    assert [len(shown) for shown in seen(behind)] == [0, 4, 4]
    kept = browser.get(f"/api/chats/{chat}").json()["messages"]
    assert kept[-1]["goni"]["notes"] == [pictures.OLD]
    assert kept[3]["goni"]["notes"] == []


def test_a_model_that_reads_none_answers_without_and_says_so(
    browser: httpx.Client, behind: StandIn, chat: str
) -> None:
    ask(browser, chat, url(ONE))
    assert "[DONE]" in ask(browser, chat, model="tiny").text
    assert seen(behind) == [[], []]
    kept = browser.get(f"/api/chats/{chat}").json()["messages"]
    assert kept[-1]["goni"]["notes"] == [pictures.LEFT_OUT]


@pytest.mark.parametrize(
    ("urls", "status", "code"),
    [
        (["http://127.0.0.1:9/a.png"], 400, "unsupported_picture"),
        (["file:///etc/passwd"], 400, "unsupported_picture"),
        (["data:image/svg+xml;base64,PHN2Zz4="], 400, "unsupported_picture"),
        (["data:image/png;base64,!!"], 400, "unsupported_picture"),
        ([5], 400, "bad_type"),
        ([None], 400, "bad_type"),
        ([url(ONE)] * 5, 400, "too_many_pictures"),
        ([url(bytes(pictures.LARGEST + 5))], 413, "too_large"),
    ],
)
def test_what_is_no_picture_is_refused_and_not_kept(
    browser: httpx.Client, behind: StandIn, chat: str, urls: list[Any], status: int, code: str
) -> None:
    said = ask(browser, chat, *urls)
    assert (said.status_code, said.json()["error"]["code"]) == (status, code)
    assert behind.asked == []
    assert browser.get(f"/api/chats/{chat}").json()["messages"] == []
