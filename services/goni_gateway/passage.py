"""Files on their way through: up to the service that keeps them, and back down, piece by piece.

Files from people are never shown by a browser as pages of this node: they come as downloads of no
particular type, in a sandbox, whatever they are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from goni_core import web
from goni_core.errors import BadInput, TooLarge
from goni_core.hangup import Stream
from goni_core.http import ANSWER_TIMEOUT, Incoming, Service
from goni_gateway import bodies

PASSED_UP = ("range", "if-range", "if-none-match", "if-modified-since")
PASSED_DOWN = ("content-length", "content-range", "accept-ranges", "etag", "last-modified")
LONGEST_HEADER = 200


async def upload(
    request: Request, service: Service, path: str, params: dict[str, str], limit: int
) -> Response:
    """The request's body to ``path``; its length has to be known."""
    size = web.content_length(request.headers)
    if size is None:
        raise BadInput("the upload doesn't say how long it is", hint="send Content-Length")
    if size > limit:
        raise TooLarge(f"larger than the limit of {limit >> 20} MiB")
    said = await service.call(
        "PUT",
        path,
        params=params,
        content=bodies.upload(request),
        headers={"content-length": str(size)},
        timeout=ANSWER_TIMEOUT,
    )
    return JSONResponse(said, status_code=201)


async def download(
    request: Request, service: Service, path: str, params: Mapping[str, str], name: str
) -> Response:
    """The file at ``path``, or the part of it that is asked for, called ``name``."""
    asked = {
        header: value
        for header in PASSED_UP
        if (value := request.headers.get(header)) and len(value) <= LONGEST_HEADER
    }
    asked["accept-encoding"] = "identity"
    incoming = await service.open("GET", path, params=params, headers=asked)
    headers = {name: incoming.headers[name] for name in PASSED_DOWN if name in incoming.headers}
    headers |= {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    if request.method == "HEAD":
        await incoming.close()
        response = Response(status_code=incoming.status, media_type=Stream.media_type)
        response.headers.update(headers)
        return response
    return Stream(_blocks(incoming), incoming.close, status=incoming.status, headers=headers)


async def _blocks(incoming: Incoming) -> AsyncGenerator[bytes, None]:
    async for block in incoming.blocks():
        yield block
