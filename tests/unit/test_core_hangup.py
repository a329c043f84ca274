"""A stream ends with its client, gone or merely not reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from goni_core import hangup


async def stream(*, reads: bool, leaves: bool) -> tuple[list[bytes], bool]:
    """What a client got of an endless stream until it was closed, and whether it was."""
    got: list[bytes] = []
    closed = asyncio.Event()

    async def blocks() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"data: x\n\n"
            await asyncio.sleep(0)

    async def receive() -> Message:
        await (asyncio.sleep(0.1) if leaves else asyncio.Event().wait())
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            got.append(message["body"])
            if not reads and len(got) == 3:
                await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def close() -> None:
        closed.set()

    response = hangup.EventStream(blocks(), close)
    async with asyncio.timeout(30):
        await response({"type": "http"}, receive, send)
    return got, closed.is_set()


def test_a_client_that_stops_reading_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hangup, "READ_S", 0.2)
    got, closed = asyncio.run(stream(reads=False, leaves=False))
    assert len(got) == 3
    assert closed


def test_a_client_that_hangs_up_is_left_at_once() -> None:
    got, closed = asyncio.run(stream(reads=True, leaves=True))
    assert len(got) > 3
    assert closed
