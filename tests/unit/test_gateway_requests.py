"""What comes in: questions, origins, bearer keys, events, passwords."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goni_core import fields
from goni_core.errors import BadInput
from goni_gateway import answer, callers, passwords, sse
from goni_gateway.metrics import Metrics
from goni_gateway.passing import Passing

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def test_a_question_keeps_what_the_engine_understands() -> None:
    asked = answer.question_from({**HELLO, "temperature": 0, "tools": [{"type": "function"}]})
    assert asked.rest == {"temperature": 0, "tools": [{"type": "function"}]}
    assert asked.documents
    assert not asked.stream


def test_documents_can_be_turned_off_and_the_engine_never_hears_of_it() -> None:
    asked = answer.question_from({**HELLO, "goni": {"documents": False}})
    assert not asked.documents
    assert "goni" not in asked.rest


def test_null_options_are_as_absent() -> None:
    asked = answer.question_from({**HELLO, "stream": None, "max_tokens": None, "goni": None})
    assert not asked.stream
    assert asked.max_tokens is None


def test_the_newer_name_of_the_token_limit_wins() -> None:
    asked = answer.question_from({**HELLO, "max_tokens": 5, "max_completion_tokens": 7})
    assert asked.max_tokens == 7


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "no role"}]}, "role"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"goni": []}, "goni"),
        ({"goni": {"documents": 1}}, "documents"),
        ({"goni": {"dokuments": True}}, "dokuments"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        answer.question_from({**HELLO, **change})


@pytest.mark.parametrize(
    "body",
    [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": "\\ud800"}', b"[" * 100_000],
)
def test_what_cannot_be_written_as_json_again_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        fields.parse(body)


def test_escaped_characters_stay_welcome() -> None:
    assert fields.parse(b'{"a": "\\ud83d\\ude00 \\u00e9"}') == {"a": "\U0001f600 é"}


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "https://node", "host": "node"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://node:8443", "host": "node:8443"}, True),
        ({"origin": "https://evil", "host": "node"}, False),
        ({"origin": "null", "host": "node"}, False),
        ({"host": "node"}, False),
    ],
)
def test_only_this_site_may_use_a_session(headers: dict[str, str], fine: bool) -> None:
    assert callers.same_origin(headers) is fine


@pytest.mark.parametrize(
    ("header", "secret"),
    [("Bearer goni-x", "goni-x"), ("bearer goni-x ", "goni-x"), ("Basic abc", None), ("", None)],
)
def test_the_bearer_key_is_read(header: str, secret: str | None) -> None:
    assert callers.bearer({"authorization": header}) == secret


def split(whole: bytes, *blocks: bytes) -> list[bytes]:
    passing = Passing(Metrics().meter("m", 0.0))
    passed = [passing.take(block) for block in blocks or [whole]] + [passing.rest()]
    assert b"".join(passed) == whole
    return [data for block in passed for data in sse.events(block)]


def test_events_are_split_wherever_the_blocks_end() -> None:
    whole = b': hello\n\ndata: {"a": 1}\n\ndata: x\ndata: y\r\n\r\ndata: [DONE]\n\n'
    expected = [b'{"a": 1}', b"x\ny", b"[DONE]"]
    assert split(whole) == expected
    assert split(whole, *(bytes([byte]) for byte in whole)) == expected
    assert split(whole[:-2]) == expected


def test_a_password_fits_its_hash_and_no_other() -> None:
    async def check() -> tuple[bool, bool, bool]:
        stored = await passwords.hash_of("pässword")
        assert stored.startswith("$argon2id$")
        return (
            await passwords.matches("pa\u0308ssword", stored),
            await passwords.matches("password", stored),
            await passwords.matches("", ""),
        )

    assert asyncio.run(check()) == (True, False, False)


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025])
def test_a_password_of_bad_length_is_refused(password: str) -> None:
    with pytest.raises(BadInput):
        passwords.acceptable(password)
