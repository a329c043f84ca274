"""How much of request bodies is in memory at once."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import web
from goni_gateway import bodies

BODY = json.dumps({"text": "x" * 1000}).encode()


def test_bodies_are_refused_while_others_fill_the_memory_and_taken_again_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "TOGETHER", 3 * len(BODY))
    answering, go = asyncio.Semaphore(0), asyncio.Event()

    async def slow(request: Request) -> Response:
        await bodies.read_json(request, limit=2 * len(BODY))
        answering.release()
        await go.wait()
        return JSONResponse({})

    async def pieces():  # type: ignore[no-untyped-def]
        yield BODY

    async def scenario() -> None:
        app = web.application(
            [Route("/slow", slow, methods=["POST"])], middleware=[Middleware(bodies.Weighed)]
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            for _ in range(2):
                first = [asyncio.create_task(client.post("/slow", content=BODY)) for _ in range(3)]
                for _ in first:
                    await asyncio.wait_for(answering.acquire(), 30)
                refused = await client.post("/slow", content=BODY)
                assert refused.status_code == 429
                assert refused.headers["retry-after"] == str(bodies.RETRY_S)
                assert refused.json()["error"]["code"] == "overloaded"
                assert (await client.post("/slow", content=b"{")).status_code == 429
                go.set()
                assert {(await one).status_code for one in first} == {200}
                go.clear()
            # One that doesn't say how long it is counts as the longest.
            unknown = asyncio.create_task(client.post("/slow", content=pieces()))
            await asyncio.wait_for(answering.acquire(), 30)
            assert (await client.post("/slow", content=pieces())).status_code == 429
            go.set()
            assert (await unknown).status_code == 200
            for content in (b"{", b"", b"x" * 4 * len(BODY)):
                assert (await client.post("/slow", content=content)).status_code in (400, 413)
            assert (await client.post("/slow", content=BODY)).status_code == 200

    asyncio.run(scenario())
