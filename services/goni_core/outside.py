"""The one door out of the house.

httpx, and not aiohttp as among the services (``goni_core.http``): aiohttp drops what it has read
and not yet handed over when a line breaks, and on uvloop the end of a TLS stream whose reader is
slow, so that a download would begin again further back.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from goni_core.errors import Forbidden, Unavailable

TIMEOUT = httpx.Timeout(60.0, connect=15.0)
REDIRECTS = 5
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Fetched:
    """An answer from outside: its status, its headers, its body."""

    def __init__(self, response: httpx.Response, hops: list[httpx.Headers]) -> None:
        self.status = response.status_code
        self._response = response
        self._hops = hops

    def header(self, name: str) -> str:
        """This answer's header; empty when it has none of that name."""
        return str(self._response.headers.get(name, ""))

    def said_on_the_way(self, name: str) -> str:
        """The header of this answer, or of the first redirection that led here and had it."""
        found = (hop[name] for hop in (self._response.headers, *self._hops) if name in hop)
        return next(found, "")

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body as it is on the line; :class:`Unavailable` when the line breaks."""
        try:
            async for block in self._response.aiter_raw():
                yield block
        except httpx.HTTPError as error:
            raise _line(error) from error


class Outside:
    """The one way out of the house: GET over HTTPS with certificates checked, a few redirects, and
    nothing sent but what the caller gives. Plain HTTP is for this machine itself only, where tests
    serve.
    """

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(),
            timeout=TIMEOUT,
            trust_env=False,
            headers={"user-agent": "goni", "accept-encoding": "identity"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Fetched]:
        """The answer to a GET, whatever its status; :class:`Unavailable` when there is none, and
        :class:`Forbidden` for an address that isn't HTTPS.
        """
        hops: list[httpx.Headers] = []
        address = httpx.URL(url)
        local = address.scheme == "http" and address.host in LOOPBACK
        try:
            for _ in range(REDIRECTS):
                if address.scheme != "https" and not (local and address.host in LOOPBACK):
                    raise Forbidden("refused to download over an unprotected connection")
                request = self._client.build_request("GET", address, headers=dict(headers))
                response = await self._client.send(request, stream=True)
                try:
                    if response.next_request is None:
                        yield Fetched(response, hops)
                        return
                    hops.append(response.headers)
                    address = response.next_request.url
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _line(error) from error
        raise Unavailable("the hub sends us in circles", code="line_failed")


def _line(error: Exception) -> Unavailable:
    return Unavailable(
        f"the connection to the outside failed ({type(error).__name__})",
        hint="check the internet connection of this node",
        code="line_failed",
    )
