"""People are separate: two of them, the same question, different secrets, a thousand requests at
once, through every real part. The model's answer depends on all of its prompt, so that an answer
computed from another's prompt would be another's answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration import household
from tests.integration.household import Household
from tests.models import write_tiny_chat_model

REQUESTS = 1000
AT_ONCE = 12
SECRETS = {"Ada": "the heron nests at Kestrel Rock", "Bob": "the otter sleeps in Juniper Creek"}
QUESTION = "What is my secret about the animal, and where is it?"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    models = {"tiny": write_tiny_chat_model}
    with household.running(tmp_path_factory.mktemp("node"), models) as made:
        yield made


def test_a_thousand_interleaved_requests_show_nobody_anothers_text(home: Household) -> None:
    keys = {"Ada": home.node.a_key(), "Bob": home.node.member_key("Bob")}
    texts = asyncio.run(_scene(home, keys))
    for person, other in (("Ada", "Bob"), ("Bob", "Ada")):
        assert len(texts[person]) == REQUESTS // 2
        mine, theirs = SECRETS[person], SECRETS[other]
        assert all(mine in text for text in texts[person]), "a source is missing"
        assert not any(theirs in text for text in texts[person]), "a leak"


async def _scene(home: Household, keys: dict[str, str]) -> dict[str, list[str]]:
    clients = {person: home.node.crowd(key) for person, key in keys.items()}
    try:
        alone = {}
        for person, client in clients.items():
            document = f"My secret: {SECRETS[person]}.".encode()
            said = await client.put("/api/documents/secret.txt", content=document)
            assert said.status_code == 201, said.text
            alone[person] = answer_of(await _asked(client))
        assert alone["Ada"] != alone["Bob"]
        texts: dict[str, list[str]] = {person: [] for person in keys}
        people = iter(["Ada", "Bob"] * (REQUESTS // 2))

        async def work() -> None:
            for person in people:  # one iterator for all: the requests interleave
                said = await _asked(clients[person])
                assert answer_of(said) == alone[person], "an answer to another prompt"
                texts[person].append(said.text)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return texts
    finally:
        for client in clients.values():
            await client.aclose()


async def _asked(client: httpx.AsyncClient) -> httpx.Response:
    messages = [{"role": "user", "content": QUESTION}]
    body: dict[str, Any] = {"model": "tiny", "messages": messages, "max_tokens": 3}
    said = await client.post("/v1/chat/completions", json={**body, "temperature": 0})
    assert said.status_code == 200, said.text
    return said


def answer_of(said: httpx.Response) -> str:
    return str(said.json()["choices"][0]["message"]["content"])
