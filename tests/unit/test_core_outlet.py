"""An answer that is poured from one connection into another: all of it, no more of it in memory
than the client reads, and its end said when it breaks off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from goni_core import outlet, serve
from goni_core.errors import GoniError, Unavailable
from goni_core.http import Service
from goni_core.serve import Listener

BLOCK = bytes(range(256)) * 64
MANY = 2000
HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Told = Callable[[bytes], Awaitable[None]]


async def lifespan(receive: Receive, send: Send) -> None:
    while (kind := (await receive())["type"]) != "lifespan.shutdown":
        await send({"type": f"{kind}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def application(answer: Callable[[Scope, Told], Awaitable[None]]) -> ASGIApp:
    """Answers each request with what ``answer`` tells."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return

        async def told(block: bytes) -> None:
            await send({"type": "http.response.body", "body": block, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": []})
        await answer(scope, told)
        await send({"type": "http.response.body"})

    return app


class Spring:
    """Tells ``MANY`` numbered blocks, and breaks off after ``breaks`` of them."""

    def __init__(self, breaks: int = MANY + 1) -> None:
        self.told = 0
        self._breaks = breaks

    async def __call__(self, scope: Scope, told: Told) -> None:
        while self.told < MANY:
            if self.told == self._breaks:
                raise RuntimeError("broken on purpose")
            await told(self.told.to_bytes(4, "big") + BLOCK)
            self.told += 1


@contextlib.asynccontextmanager
async def relayed(
    folder: Path, spring: Spring, take: Callable[[bytes], bytes] = bytes
) -> AsyncIterator[Path]:
    """The socket of a server that pours ``spring``'s blocks out, each as ``take`` makes it."""
    service = Service("the spring", folder / "spring.sock")

    async def pouring(scope: Scope, told: Told) -> None:
        out = outlet.of(scope)
        try:
            async with service.stream("GET", "/") as incoming:
                await incoming.pour(lambda block: out.write(take(block)), out)
        except Unavailable:
            out.write(b"broken off")
        except GoniError as error:
            out.write(error.message.encode())

    stop, sockets = asyncio.Event(), [folder / "spring.sock", folder / "relay.sock"]
    apps = [application(spring), application(pouring)]
    listeners = [Listener(app, serve.bind_unix(at)) for app, at in zip(apps, sockets, strict=True)]
    serving = asyncio.create_task(serve.serve(listeners, stop=stop))
    try:
        yield sockets[1]
    finally:
        await service.close()
        stop.set()
        await serving


async def body_of(reader: asyncio.StreamReader) -> bytes:
    """A response's chunks put together (RFC 9112, section 7.1)."""
    await reader.readuntil(b"\r\n\r\n")
    found = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        found.append(await reader.readexactly(size))
        await reader.readexactly(2)
    return b"".join(found)


def test_a_client_that_does_not_read_holds_the_answer_up_and_loses_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        spring = Spring()
        async with relayed(tmp_path, spring) as at:
            reader, writer = await asyncio.open_unix_connection(str(at), limit=1 << 16)
            writer.write(HEAD)
            before = -1
            while before != spring.told or not spring.told:
                before = spring.told
                await asyncio.sleep(0.5)
            assert spring.told < MANY / 4
            expected = (number.to_bytes(4, "big") + BLOCK for number in range(MANY))
            assert await body_of(reader) == b"".join(expected)
            writer.close()

    serve.run(scene())


@pytest.mark.parametrize("after", [0, 1, 300])
def test_what_breaks_off_is_said_after_what_came(tmp_path: Path, after: int) -> None:
    async def scene() -> bytes:
        async with relayed(tmp_path, Spring(breaks=after)) as at:
            reader, writer = await asyncio.open_unix_connection(str(at))
            writer.write(HEAD)
            whole = await body_of(reader)
            writer.close()
        return whole

    whole = serve.run(scene())
    assert whole.endswith(b"broken off")
    assert len(whole) == after * (4 + len(BLOCK)) + len(b"broken off")


def test_what_can_not_be_passed_on_ends_it_with_its_reason(tmp_path: Path) -> None:
    def refuse(block: bytes) -> bytes:
        raise GoniError("not that one")

    async def scene() -> bytes:
        async with relayed(tmp_path, Spring(), refuse) as at:
            reader, writer = await asyncio.open_unix_connection(str(at))
            writer.write(HEAD)
            whole = await body_of(reader)
            writer.close()
        return whole

    assert serve.run(scene()) == b"not that one"
