"""Turns between people, end to end: a real engine, a real model, two people with their keys; and
what an engine can't be made to do on demand with the stand-in.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from goni_gateway.turns import MOST_EACH, SLOTS
from tests.integration import gateway_node, household
from tests.integration.gateway_node import Node
from tests.integration.household import Household
from tests.models import write_reciting_model

CHAT = "/v1/chat/completions"
Stream = tuple[httpx.Response, AsyncIterator[bytes]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    models = {"talks": partial(write_reciting_model, endless=True)}
    with household.running(tmp_path_factory.mktemp("node"), models) as made:
        yield made


@pytest.fixture(scope="module")
def keys(home: Household) -> tuple[str, str]:
    return home.node.a_key(), home.node.member_key("Bob")


def question(tokens: int, **more: Any) -> dict[str, Any]:
    goni = {"documents": False, **more.pop("goni", {})}
    messages = [{"role": "user", "content": "go on"}]
    body = {"model": "talks", "messages": messages, "max_tokens": tokens, "goni": goni}
    return {**body, "stream": True, "stream_options": {"include_usage": True}, **more}


async def asked(client: httpx.AsyncClient, tokens: int, **more: Any) -> tuple[int, float]:
    """The tokens that a whole answer had, and when it was there."""
    said = await client.post(CHAT, json=question(tokens, **more))
    assert said.status_code == 200, said.text
    chunks = [line[6:] for line in said.text.splitlines() if line.startswith("data: ")]
    assert chunks[-1] == "[DONE]"
    usage = [json.loads(chunk).get("usage") for chunk in chunks[:-1]]
    return next(each["completion_tokens"] for each in usage if each), time.monotonic()


def test_one_persons_flood_keeps_another_waiting_for_one_answer_at_most(
    home: Household, keys: tuple[str, str]
) -> None:
    async def scene() -> None:
        async with home.node.crowd(keys[0]) as ada, home.node.crowd(keys[1]) as bob:
            await asked(ada, 4)
            flood = [asyncio.create_task(asked(ada, 120)) for _ in range(14)]
            await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
            done_before = sum(task.done() for task in flood)
            tokens, answered = await asked(bob, 20)
            results = await asyncio.gather(*flood)
        assert tokens == 20
        # Nobody's answer was cut for it.
        assert {tokens for tokens, _ in results} == {120}
        # At most what ran already, and what took its turn while Bob's request came in.
        earlier = sum(finished < answered for _, finished in results)
        assert earlier <= done_before + 2 * SLOTS, f"{earlier} of 14 were answered before"

    asyncio.run(scene())


def test_questions_go_before_a_batch(home: Household, keys: tuple[str, str]) -> None:
    async def scene() -> None:
        async with home.node.crowd(keys[0]) as ada:
            batch = [
                asyncio.create_task(asked(ada, 150, goni={"background": True})) for _ in range(20)
            ]
            await asyncio.wait(batch, return_when=asyncio.FIRST_COMPLETED)
            done_before = sum(task.done() for task in batch)
            questions = [asyncio.create_task(asked(ada, 100)) for _ in range(6)]
            last_question = max(finished for _, finished in await asyncio.gather(*questions))
            results = await asyncio.gather(*batch)
        # At most what ran already, and what took its turn while the questions came in.
        earlier = sum(finished < last_question for _, finished in results)
        assert earlier <= done_before + 2 * SLOTS, f"{earlier} of 20 were answered before"

    asyncio.run(scene())


def test_a_client_that_hangs_up_frees_its_slot_or_its_place_within_a_second(
    home: Household, keys: tuple[str, str]
) -> None:
    async def first_token(client: httpx.AsyncClient, opened: list[Stream]) -> float:
        request = client.build_request("POST", CHAT, json=question(100_000))
        response = await client.send(request, stream=True)
        assert response.status_code == 200
        blocks = response.aiter_bytes()
        await anext(blocks)
        opened.append((response, blocks))  # the iterator too: collecting it would hang up
        return time.monotonic()

    async def scene() -> None:
        opened: list[Stream] = []
        async with home.node.crowd(keys[0]) as ada, home.node.crowd(keys[1]) as bob:
            for _ in range(SLOTS):
                await first_token(ada, opened)
            gone = [asyncio.create_task(first_token(ada, opened)) for _ in range(3)]
            await asyncio.sleep(0.3)
            assert len(opened) == SLOTS
            for task in gone:
                task.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
            waiting = asyncio.create_task(first_token(bob, opened))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            hung_up = time.monotonic()
            await opened[0][0].aclose()
            assert await waiting - hung_up < 1
            for response, _ in opened:
                await response.aclose()

    asyncio.run(scene())


def test_a_full_line_is_a_429_in_openais_shape_and_not_for_others(tmp_path: Path) -> None:
    async def scene(node: Node, bob_key: str) -> None:
        body = {"model": "endless", "messages": [{"role": "user", "content": "x"}], "stream": True}
        async with node.crowd(node.a_key()) as ada, node.crowd(bob_key) as bob:
            crowd = [
                asyncio.create_task(
                    ada.send(ada.build_request("POST", CHAT, json=body), stream=True)
                )
                for _ in range(SLOTS + MOST_EACH + 3)
            ]
            refused = await first_refused(crowd)
            await refused.aread()
            assert refused.json()["error"]["code"] == "queue_full"
            assert int(refused.headers["retry-after"]) >= 1
            with pytest.raises(httpx.TimeoutException):  # Bob is in the line, not refused
                await bob.post(CHAT, json=body, timeout=3)
            for task in crowd:
                task.cancel()
                if task.done() and not task.cancelled():
                    await task.result().aclose()
            await asyncio.gather(*crowd, return_exceptions=True)
            await asyncio.sleep(1)
            # All have left: there is room again.
            again = await ada.send(ada.build_request("POST", CHAT, json=body), stream=True)
            assert again.status_code == 200
            await again.aclose()

    async def first_refused(crowd: list[asyncio.Task[httpx.Response]]) -> httpx.Response:
        """The crowd needs a while to come in."""
        for answered in asyncio.as_completed(crowd, timeout=120):
            if (response := await answered).status_code != 200:
                assert response.status_code == 429
                return response
        raise AssertionError("the line is never full")

    with gateway_node.running(tmp_path) as (node, _):
        asyncio.run(scene(node, node.member_key("Bob")))
