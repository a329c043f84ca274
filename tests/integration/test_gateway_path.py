"""The whole path with every real part: gateway, engine, document search, the official client. Only
the chat model is a stand-in, a tiny one with random weights.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from tests.integration.household import Household, running
from tests.models import write_tiny_chat_model
from tests.projector import png, url, write_tiny_projector

PLANTED = "The spare key to the greenhouse hangs behind the blue watering can."
ASKED: list[Any] = [{"role": "user", "content": "Where is the spare key to the greenhouse?"}]


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with running(tmp_path_factory.mktemp("node")) as made:
        browser = made.node.signed_in()
        model = write_tiny_chat_model(made.folder / "tiny.gguf")
        said = browser.put("/api/models/tiny.gguf", content=model.read_bytes(), timeout=120)
        assert said.status_code == 201, said.text
        made.node.a_key()
        yield made


@pytest.fixture
def browser(household: Household) -> httpx.Client:
    return household.node.signed_in()


@pytest.fixture
def client(household: Household) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{household.node.url}/v1",
        api_key=household.node.a_key(),
        max_retries=0,
        timeout=300,
        http_client=httpx.Client(verify=ssl.create_default_context(cafile=household.node.crt)),
    ) as made:
        yield made


def upload(browser: httpx.Client, name: str, content: str) -> None:
    said = browser.put(f"/api/documents/{name}", content=content.encode(), timeout=300)
    assert said.status_code == 201, said.text
    assert said.json()["state"] == "indexed"


def test_a_planted_sentence_comes_back_as_a_source(
    browser: httpx.Client, client: openai.OpenAI
) -> None:
    upload(browser, "house.txt", f"Notes about the house.\n\n{PLANTED}\n")
    upload(browser, "cake.md", "# Plum cake\n\nTake 500 g of plums and 3 eggs.\n")
    answer = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=8)
    assert answer.model_extra is not None
    first = answer.model_extra["goni"]["sources"][0]
    assert first["document"] == "house.txt"
    assert PLANTED in first["quote"]
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 8


def test_streamed_it_is_the_same_answer(browser: httpx.Client, client: openai.OpenAI) -> None:
    upload(browser, "house.txt", PLANTED)
    asked: dict[str, Any] = {"model": "tiny", "messages": ASKED, "max_tokens": 12}
    asked |= {"temperature": 0, "seed": 1}
    chunks = list(client.chat.completions.create(stream=True, **asked))
    assert chunks[0].model_extra is not None
    assert chunks[0].model_extra["goni"]["sources"][0]["document"] == "house.txt"
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    whole = client.chat.completions.create(**asked).choices[0].message.content
    assert streamed == whole != ""


def test_embeddings_and_completions_come_from_the_engine(client: openai.OpenAI) -> None:
    vector = client.embeddings.create(model="all-MiniLM-L6-v2", input="plums").data[0].embedding
    assert len(vector) == 384
    assert abs(sum(value * value for value in vector) - 1) < 1e-3
    assert client.completions.create(model="tiny", prompt="a", max_tokens=3).choices[0].text
    streamed = client.completions.create(model="tiny", prompt="a", max_tokens=3, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed)


def test_a_deleted_document_is_no_source_any_more(
    browser: httpx.Client, client: openai.OpenAI
) -> None:
    upload(browser, "secret plan.txt", "The zeppelin leaves the attic at dawn.")
    listed = browser.get("/api/documents").json()["documents"]
    assert "secret plan.txt" in [document["name"] for document in listed]
    assert browser.delete("/api/documents/secret%20plan.txt").json() == {"deleted": True}
    answer = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "When does the zeppelin leave the attic?"}],
        max_tokens=4,
    )
    assert "secret plan.txt" not in json.dumps((answer.model_extra or {})["goni"]["sources"])


def test_a_removed_persons_documents_are_gone_from_the_disk(
    household: Household, browser: httpx.Client
) -> None:
    bob = household.node.joined("Bob")
    upload(bob, "diary.txt", "Bob's diary: the canary sang at noon.")
    upload(bob, "cake.md", "# Bob's cake\n\nNo plums.\n")
    upload(browser, "house.txt", PLANTED)
    person = bob.get("/api/me").json()["id"]
    said = browser.post(f"/api/people/{person}/remove", json={"name": "Bob"}, timeout=60)
    assert said.json() == {"removed": True, "documents": 2}
    assert bob.get("/api/me").status_code == 401
    left = [path for path in household.node.state.rglob("*") if path.is_file()]
    assert not [path for path in left if path.name == "diary.txt"]
    assert "house.txt" in browser.get("/api/documents").text


def test_an_upload_that_outlasts_its_persons_removal_leaves_nothing(
    household: Household, browser: httpx.Client
) -> None:
    carol = household.node.joined("Carol")
    person = carol.get("/api/me").json()["id"]
    content = b"Carol's letters. " * 20_000
    begun, removed = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield content[:1000]
        begun.set()
        assert removed.wait(60)
        yield content[1000:]

    headers = {"content-length": str(len(content))}
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(
            carol.put, "/api/documents/letters.txt", content=slowly(), headers=headers, timeout=120
        )
        assert begun.wait(60)
        time.sleep(0.5)  # until the gateway has let the upload in
        said = browser.post(f"/api/people/{person}/remove", json={"name": "Carol"}, timeout=60)
        assert said.json() == {"removed": True, "documents": 0}
        removed.set()
        said = upload.result()
    assert (said.status_code, said.json()["error"]["code"]) == (401, "removed")
    left = [path for path in household.node.state.rglob("*") if path.name == "letters.txt"]
    assert left == []


def test_a_file_that_is_no_model_is_refused_with_the_reason(browser: httpx.Client) -> None:
    said = browser.put("/api/models/fake.gguf", content=os.urandom(4096))
    assert said.status_code == 400
    assert said.json()["error"]["message"]
    assert "fake" not in browser.get("/api/models").text


def test_a_long_chat_is_cut_to_the_models_context(client: openai.OpenAI) -> None:
    long: list[Any] = [
        {"role": role, "content": "the plums are ripe " * 60}
        for _ in range(12)
        for role in ("user", "assistant")
    ]
    answer = client.chat.completions.create(model="tiny", messages=long + ASKED, max_tokens=4)
    cut = (answer.model_extra or {})["goni"]["context_cut"]
    assert cut["turns_dropped"] > 0
    assert answer.usage is not None
    assert answer.usage.prompt_tokens <= 16384


def test_after_a_restart_everything_is_there(household: Household) -> None:
    browser = household.node.signed_in()
    upload(browser, "house.txt", PLANTED)
    chat = browser.post("/api/chats").json()["id"]
    question = {"model": "tiny", "content": str(ASKED[0]["content"]), "max_tokens": 8}
    said = browser.post(f"/api/chats/{chat}/messages", json=question, timeout=300)
    assert "data: [DONE]" in said.text
    before = browser.get(f"/api/chats/{chat}").json()
    household.stop()
    household.start()
    again = household.node.client(authorization=f"Bearer {household.node.a_key()}")
    assert again.get(f"/api/chats/{chat}").json() == before
    assert before["messages"][1]["goni"]["sources"][0]["document"] == "house.txt"
    assert "tiny" in [model["id"] for model in again.get("/api/models").json()["models"]]
    names = [document["name"] for document in again.get("/api/documents").json()["documents"]]
    assert "house.txt" in names


def picture_question(picture: str) -> list[Any]:
    parts = [
        {"type": "text", "text": "Where is the spare key to the greenhouse?"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    return [{"role": "user", "content": parts}]


def bring_projector(household: Household) -> None:
    """What the download of a model with a projector does."""
    content = write_tiny_projector(household.folder / "projector").read_bytes()
    transport = httpx.HTTPTransport(uds=str(household.node.run / "engine.sock"))
    with httpx.Client(transport=transport, base_url="http://engine", timeout=60) as engine:
        wanted = {"name": "tiny.mmproj.gguf", "bytes": len(content)}
        key = engine.post("/incoming", json=wanted).raise_for_status().json()["id"]
        sent = engine.patch(f"/incoming/{key}", content=content, headers={"Upload-Offset": "0"})
        assert sent.raise_for_status().json()["complete"]


def test_a_picture_is_answered_with_documents_found_by_the_words_beside_it(
    household: Household, browser: httpx.Client, client: openai.OpenAI
) -> None:
    upload(browser, "house.txt", PLANTED)
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 16, "temperature": 0}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(messages=picture_question(url(png(1))), **asked)
    assert refused.value.code == "no_pictures"
    bring_projector(household)
    answers = [
        client.chat.completions.create(messages=picture_question(url(png(seed))), **asked)
        for seed in (1, 2, 1)
    ]
    texts = [answer.choices[0].message.content for answer in answers]
    assert texts[0] == texts[2] != texts[1]
    assert answers[0].model_extra is not None
    assert PLANTED in answers[0].model_extra["goni"]["sources"][0]["quote"]
    with pytest.raises(openai.BadRequestError) as refused:
        far = picture_question("https://example.org/picture.png")
        client.chat.completions.create(messages=far, **asked)
    assert refused.value.code == "unsupported_picture"
