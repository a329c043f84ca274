"""A chat's way: streams put together again, first tokens waited for, tokens that stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from goni_core.errors import GoniError, Unavailable
from goni_gateway import gathered, routing
from goni_mesh import chats


def event(value: object) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def chunk(delta: dict, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"id": "x", "created": 1, "model": "m", "choices": [choice], **more})


async def stream(*blocks: bytes, hangs: bool = False) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block
    if hangs:
        await asyncio.sleep(3600)


DONE = event(b"[DONE]")


def whole(*blocks: bytes) -> dict:
    return asyncio.run(gathered.whole(stream(*blocks)))


def test_a_stream_becomes_the_answer_that_it_is() -> None:
    said = whole(
        chunk({"role": "assistant", "content": None}),
        chunk({"reasoning_content": "hm"}) + chunk({"content": "Good "}),
        chunk({"content": "day"}),
        chunk({}, "stop", timings={"predicted_n": 2}),
        event({"choices": [], "usage": {"completion_tokens": 2}}),
        DONE,
    )
    choice = said["choices"][0]
    assert choice["message"] == {
        "role": "assistant",
        "content": "Good day",
        "reasoning_content": "hm",
    }
    assert choice["finish_reason"] == "stop"
    assert said["usage"] == {"completion_tokens": 2}
    assert said["timings"] == {"predicted_n": 2}
    assert said["object"] == "chat.completion"


def test_calls_are_put_together_by_their_places() -> None:
    def call(place: int, **function: str) -> bytes:
        return chunk({"tool_calls": [{"index": place, "id": f"c{place}", "function": function}]})

    said = whole(
        call(0, name="light", arguments='{"a"'),
        call(1, name="door", arguments="{}"),
        call(0, arguments=":1}"),
        chunk({}, "tool_calls"),
        DONE,
    )
    calls = said["choices"][0]["message"]["tool_calls"]
    assert [one["function"] for one in calls] == [
        {"name": "light", "arguments": '{"a":1}'},
        {"name": "door", "arguments": "{}"},
    ]


@pytest.mark.parametrize(
    "blocks",
    [
        (),
        (chunk({"content": "half"}),),
        (chunk({"content": "half"}), event({"error": {"message": "gone", "code": "x"}})),
        (event({"error": {"message": 3}}),),
    ],
)
def test_what_breaks_off_is_no_answer(blocks: tuple[bytes, ...]) -> None:
    with pytest.raises(Unavailable):
        whole(*blocks)


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered, "LONGEST", 1000)
    with pytest.raises(Unavailable, match="too long"):
        whole(*[chunk({"content": "on and on"})] * 50)


def test_the_first_token_is_waited_for_and_errors_before_it_are_raised() -> None:
    async def begun(*blocks: bytes) -> bytes:
        return await routing._up_to_first_token(stream(*blocks))

    role, word = chunk({"role": "assistant", "content": None}), chunk({"content": "Good"})
    assert asyncio.run(begun(role, word, DONE)) == role + word
    assert asyncio.run(begun(role, DONE)) == role + DONE
    with pytest.raises(GoniError) as raised:
        asyncio.run(begun(role, event({"error": {"message": "gone", "code": "engine_stopped"}})))
    assert raised.value.code == "engine_stopped"
    with pytest.raises(Unavailable, match="broke off"):
        asyncio.run(begun(role))


def test_tokens_that_stop_end_the_answer_with_an_error() -> None:
    async def rest(*blocks: bytes, hangs: bool = False) -> list[bytes]:
        watched = routing._watched(stream(*blocks, hangs=hangs), 0.05, done=False)
        return [block async for block in watched]

    word = chunk({"content": "Good"})
    assert asyncio.run(rest(word, DONE)) == [word, DONE]
    error = event({"error": {"message": "x"}})
    assert asyncio.run(rest(word, error)) == [word, error]
    for broken in (rest(word, hangs=True), rest(word), rest(chunk({"content": "data: [DONE]"}))):
        with pytest.raises(Unavailable, match="stopped in the middle"):
            asyncio.run(broken)


def test_people_are_named_to_peers_by_ids_that_mean_nothing_elsewhere() -> None:
    named = chats.opaque("ada", "household-1")
    assert named == chats.opaque("ada", "household-1")
    assert len({named, chats.opaque("bob", "household-1"), chats.opaque("ada", "household-2")}) == 3
    assert "ada" not in named
    assert chats.opaque("", "household-1") == ""


def test_peers_can_only_take_so_much() -> None:
    door = chats.Door()
    with pytest.raises(GoniError, match="length"), door.entered(None):
        pass
    with (
        door.entered(chats.MOST_BYTES),
        pytest.raises(GoniError, match="too many"),
        door.entered(1),
    ):
        pass
    with door.entered(chats.MOST_BYTES):
        pass
