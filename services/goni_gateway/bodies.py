"""Request bodies, limited in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from goni_core import fields, web
from goni_core.errors import BadInput

LIMIT = 8 << 20
"""Bytes of a question with its whole chat."""
PICTURES_LIMIT = 24 << 20
"""The same with pictures in it."""
WHOLE_S = 60.0
"""Seconds for all of a JSON body."""
BLOCK_S = 60.0
"""Seconds between two pieces of an upload."""


async def read_json(request: Request, *, limit: int = LIMIT) -> fields.Object:
    """The body as a JSON object; :class:`BadInput` when it takes too long."""
    return fields.parse(await read(request, limit=limit))


async def read(request: Request, *, limit: int) -> bytes:
    """The whole body; :class:`BadInput` when it takes too long."""
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
