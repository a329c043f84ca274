"""The one door for outbound HTTP: services call each other here, over Unix sockets, nodes of one
household by :class:`Peer`, and what leaves the house leaves by :class:`Outside`.

A caller gets parsed JSON or a :class:`GoniError` with the other side's own status and words; a
service that can't be reached is :class:`Unavailable`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from goni_core.errors import Forbidden, GoniError, Unavailable

Timeout = httpx.Timeout
"""A request's limits in seconds, for callers whose patience differs from :data:`TIMEOUT`."""
TIMEOUT = Timeout(30.0, connect=5.0)
STREAM_TIMEOUT = Timeout(600.0, connect=5.0)
"""For answers that an engine is still computing: seconds between two bytes."""
ANSWER_TIMEOUT = Timeout(3600.0, connect=5.0)
"""For answers that come whole, after all of the computing."""

OUTSIDE_TIMEOUT = Timeout(60.0, connect=15.0)
REDIRECTS = 5
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class NoConnection(Unavailable):
    """Nobody accepted the connection: nothing of the request has arrived, it may be sent again."""


class Incoming:
    """A response whose body is read as it comes. Whoever opened it closes it, which ends the
    request on the other side too.
    """

    def __init__(self, service: Service, response: httpx.Response) -> None:
        self._service = service
        self._response = response
        self.content_type = response.headers.get("content-type", "application/octet-stream")

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body, as it comes; :class:`Unavailable` when the other side breaks off."""
        try:
            async for block in self._response.aiter_bytes():
                yield block
        except httpx.HTTPError as error:
            raise self._service.unreachable(error) from error

    async def close(self) -> None:
        await self._response.aclose()


class Service:
    """A client of one service's Unix socket.

    ``name`` is what errors call it ("the engine"); ``socket`` its path; ``kept`` how many idle
    connections are used again. Close with :meth:`close`.
    """

    def __init__(self, name: str, socket: Path, *, kept: int = 32) -> None:
        self.name = name
        self.code = f"{socket.stem}_unavailable"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
        transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=limits)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=TIMEOUT, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout = TIMEOUT,
    ) -> dict[str, Any]:
        """One request, its JSON object back; raises what the other side said as
        :class:`GoniError`.
        """
        try:
            response = await self._client.request(
                method,
                path,
                json=json,
                params=params,
                content=content,
                headers=headers,
                timeout=timeout,
            )
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error
        if response.is_error:
            raise _relayed(response.status_code, response.content)
        return _object(response.content)

    async def text(self, path: str, *, timeout: Timeout = TIMEOUT) -> str:
        """The text at ``path``; errors as in :meth:`call`."""
        try:
            response = await self._client.get(path, timeout=timeout)
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error
        if response.is_error:
            raise _relayed(response.status_code, response.content)
        return response.text

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: AsyncIterator[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Incoming]:
        """A response whose body is read as it comes; errors as in :meth:`call`."""
        try:
            async with self._client.stream(
                method, path, json=json, content=content, headers=headers, timeout=STREAM_TIMEOUT
            ) as response:
                if response.is_error:
                    raise _relayed(response.status_code, await response.aread())
                yield Incoming(self, response)
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error

    async def open(self, method: str, path: str, *, json: object = None) -> Incoming:
        """As :meth:`stream`, for a body that outlives the caller's block."""
        request = self._client.build_request(method, path, json=json, timeout=STREAM_TIMEOUT)
        try:
            response = await self._client.send(request, stream=True)
            if not response.is_error:
                return Incoming(self, response)
            try:
                raise _relayed(response.status_code, await response.aread())
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: Exception) -> Unavailable:
        blame = NoConnection if isinstance(error, httpx.ConnectError) else Unavailable
        return blame(
            f"{self.name} does not answer ({type(error).__name__})",
            hint="it may still be starting; try again in a moment",
            code=self.code,
        )


class Peer(Service):
    """A client of another node of the household, at ``host``:``port``. ``tls`` holds this node's
    certificate and trusts that one node's key alone, so names don't matter. Without ``tls`` it is a
    node that isn't a member yet, and what is said has to protect itself.
    """

    def __init__(self, name: str, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.name = name
        self.code = "peer_unavailable"
        where = f"[{host}]" if ":" in host else host
        self._client = httpx.AsyncClient(
            verify=tls or False,
            base_url=f"{'https' if tls else 'http'}://{where}:{port}",
            timeout=TIMEOUT,
            trust_env=False,
            # Kept for less than the other side keeps it (goni_core.serve): a handshake costs more
            # than all that idle nodes have to say.
            limits=httpx.Limits(
                max_connections=32, max_keepalive_connections=4, keepalive_expiry=25.0
            ),
        )

    def unreachable(self, error: Exception) -> Unavailable:
        refused = _certificate_fault(error)
        if not refused:
            return super().unreachable(error)
        return Unavailable(
            f"{self.name} shows a certificate that is refused: {refused}",
            hint="it is another node at that address, or one of the two clocks is wrong",
            code="peer_refused",
        )

    async def ask(
        self, method: str, path: str, json: object = None, *, limit: int, seconds: float
    ) -> dict[str, Any]:
        """As :meth:`call`, for an answer of at most ``limit`` bytes within ``seconds``: another
        node may be broken, or not be what it was.
        """
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(method, path, json=json) as response,
            ):
                body = bytearray()
                async for block in response.aiter_bytes():
                    body += block
                    if len(body) > limit:
                        raise Unavailable(
                            f"{self.name} answers at too great length", code=self.code
                        )
        except TimeoutError as error:
            raise Unavailable(f"{self.name} does not answer in time", code=self.code) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.unreachable(error) from error
        if response.is_error:
            raise _relayed(response.status_code, bytes(body))
        return _object(bytes(body))


async def https_status(port: int, *, timeout: float) -> int:
    """The HTTP status with which this machine's own HTTPS port answers a request for its first
    page.

    The certificate is not verified: it is the node's own, nothing is sent but the request, and it
    never leaves the loopback interface. Raises :class:`Unavailable` within ``timeout`` seconds.
    """
    async with httpx.AsyncClient(verify=False, timeout=timeout, trust_env=False) as client:  # noqa: S501 - see above
        try:
            async with client.stream("GET", f"https://127.0.0.1:{port}/") as response:
                return response.status_code
        except httpx.HTTPError as error:
            reason = "no connection" if isinstance(error, httpx.ConnectError) else "no answer"
            raise Unavailable(f"port {port}: {reason}", code="https_unavailable") from error


def _certificate_fault(error: BaseException | None) -> str:
    """What OpenSSL has against the other side's certificate, when that is why ``error`` came."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message)
        error = error.__cause__ or error.__context__
    return ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body) if body else {}
    except ValueError as error:
        raise GoniError("a service answered with something other than JSON") from error
    return value if isinstance(value, dict) else {"data": value}


def _relayed(status: int, body: bytes) -> GoniError:
    try:
        said = _object(body).get("error", {})
    except GoniError:
        said = {}
    if not isinstance(said, dict):
        said = {"message": str(said)}
    code = said.get("code")
    if not isinstance(code, str):  # llama-server repeats the status here and has names as types
        code = str(said.get("type", "internal_error"))
    error = GoniError(
        str(said.get("message", f"HTTP status {status}")), hint=str(said.get("hint", "")), code=code
    )
    error.status = status
    return error


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
            timeout=OUTSIDE_TIMEOUT,
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
