"""Request bodies, limited in size, in time, and in how much of them is in memory at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from goni_core import fields, web
from goni_core.errors import BadInput, TooMany

LIMIT = 8 << 20
"""Bytes of a question with its whole chat."""
PICTURES_LIMIT = 24 << 20
"""The same with pictures in it."""
WHOLE_S = 60.0
"""Seconds for all of a JSON body."""
BLOCK_S = 60.0
"""Seconds between two pieces of an upload."""
TOGETHER = 192 << 20
"""Bytes of all JSON bodies whose requests are being answered: eight of the largest."""
RETRY_S = 5
_WEIGHT = "goni.weight"


class Weighed:
    """``app``, of which no more than :data:`TOGETHER` bytes of bodies are in memory: what would be
    too much is refused before it is read. Each counts until its request is answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_WEIGHT] = weight = Weight(self)
        try:
            await self.app(scope, receive, send)
        finally:
            self.held -= weight.bytes


class Weight:
    """What one request holds."""

    def __init__(self, scales: Weighed) -> None:
        self._scales = scales
        self.bytes = 0

    def take(self, size: int) -> None:
        """Hold ``size`` bytes; :class:`TooMany` when others hold too much."""
        if self._scales.held + size > TOGETHER:
            raise TooMany(
                "too many large requests at once",
                hint="send it again in a moment",
                retry_after=RETRY_S,
                code="overloaded",
            )
        self._scales.held += size
        self.bytes += size


async def read_json(request: Request, *, limit: int = LIMIT) -> fields.Object:
    """The body as a JSON object; errors as in :func:`read`."""
    return fields.parse(await read(request, limit=limit))


async def read(request: Request, *, limit: int) -> bytes:
    """The whole body; :class:`BadInput` when it takes too long, :class:`TooMany` when too much is
    in memory already. A body of unknown length counts as the longest one.
    """
    weight = request.scope.get(_WEIGHT)
    if weight is not None:
        weight.take(min(web.content_length(request.headers) or limit, limit))
    try:
        async with asyncio.timeout(WHOLE_S):
            return await web.read_body(request, limit=limit)
    except TimeoutError as error:
        raise BadInput("the request took too long to arrive", code="timeout") from error


async def upload(request: Request) -> AsyncIterator[bytes]:
    """The body piece by piece; :class:`BadInput` when it stalls."""
    blocks = request.stream()
    while True:
        try:
            async with asyncio.timeout(BLOCK_S):
                block = await anext(blocks, None)
        except TimeoutError as error:
            raise BadInput("the upload stalled", hint="start it again", code="timeout") from error
        if block is None:
            return
        if block:
            yield block


async def text_of(request: Request, name: str, *, longest: int) -> str:
    """The body's one field, ``name``."""
    body = await read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {name})
    return fields.text(body, name, longest=longest)
