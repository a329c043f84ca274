"""The one door for HTTP within the house: services call each other here, over Unix sockets, and
nodes of one household by :class:`Peer`. What leaves the house leaves by ``goni_core.outside``.

A caller gets parsed JSON or a :class:`GoniError` with the other side's own status and words; a
service that can't be reached is :class:`Unavailable`. aiohttp's client, because every token of an
answer passes here twice: it takes a fifth of the time that httpx does for one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from yarl import URL

from goni_core.errors import GoniError, Unavailable


@dataclass(frozen=True)
class Timeout:
    """A request's limits in seconds: between two bytes of the answer (None: no limit), and to
    connect.
    """

    idle: float | None
    connect: float = 5.0

    @property
    def limits(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, connect=self.connect, sock_read=self.idle)


TIMEOUT = Timeout(30.0)
STREAM_TIMEOUT = Timeout(600.0)
"""For answers that an engine is still computing."""
ANSWER_TIMEOUT = Timeout(3600.0)
"""For answers that come whole, after all of the computing."""

KEPT_S = 20.0
"""Seconds that an idle connection is kept: less than a service keeps it (``serve``), so that no
request meets one that is being closed."""


class NoConnection(Unavailable):
    """Nobody accepted the connection: nothing of the request has arrived, it may be sent again."""


class Sink(Protocol):
    """Where a body goes that is poured."""

    @property
    def full(self) -> bool:
        """Whether no more should come for now."""

    async def drain(self) -> None:
        """Wait until it is not :attr:`full`."""


class Incoming:
    """A response whose body is read as it comes. Whoever opened it closes it, which ends the
    request on the other side too.
    """

    def __init__(self, service: Service, response: aiohttp.ClientResponse) -> None:
        self._service = service
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.content_type = response.headers.get("content-type", "application/octet-stream")

    async def read(self) -> bytes:
        """What has come of the body, at least a byte; nothing at its end. :class:`Unavailable` when
        the other side breaks off.
        """
        body = self._response.content
        try:
            return await body.readany()
        except aiohttp.ClientError as error:
            if body._buffer:  # aiohttp has it, and would drop it for the error
                left = b"".join(body._buffer)
                body._buffer.clear()
                return left
            raise self._service.unreachable(error) from error

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body, as it comes; errors as in :meth:`read`."""
        while block := await self.read():
            yield block

    async def pour(self, take: Callable[[bytes], None], into: Sink) -> None:
        """Give ``take`` the rest of the body as it comes, in the callback that reads it: no task is
        woken for it. Reading stops for as long as ``into``, where it goes, is full. Raises what
        ``take`` raised, and as :meth:`read`.
        """
        body, pipe = self._response.content, self._response.connection
        if body.at_eof():
            return
        tap = _Tap(body, take, into)
        while body._buffer:
            tap.append(await self.read())
        if (broken := body.exception()) is not None:
            raise self._service.unreachable(broken) from broken
        body._buffer = tap  # type: ignore[assignment]  # aiohttp has no callback for it
        ended = asyncio.ensure_future(body.wait_eof())
        try:
            while not ended.done():
                stopped = asyncio.ensure_future(tap.stopped.wait())
                await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                if tap.failure is not None:
                    raise tap.failure
                if tap.stopped.is_set() and pipe is not None and pipe.protocol is not None:
                    pipe.protocol.pause_reading()
                    await into.drain()
                    tap.stopped.clear()
                    pipe.protocol.resume_reading()
            ended.result()
        except aiohttp.ClientError as error:
            raise self._service.unreachable(error) from error
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def close(self) -> None:
        self._response.close()


class _Tap:
    """In the place of the buffer of ``body``: what is put there goes on at once."""

    def __init__(
        self, body: aiohttp.StreamReader, take: Callable[[bytes], None], into: Sink
    ) -> None:
        self._body = body
        self._take = take
        self._into = into
        self.failure: GoniError | None = None
        self.stopped = asyncio.Event()
        """There was a failure, or no more should come for now."""

    def __len__(self) -> int:
        return 0

    def append(self, data: bytes) -> None:
        self._body._size = 0  # nothing is kept
        if self.failure is None:
            try:
                self._take(data)
            except GoniError as error:
                self.failure = error
        if self.failure is not None or self._into.full:
            self.stopped.set()


class _Body:
    """A request's body as it comes, and what its source raised: the client only says that it
    could not send.
    """

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for block in self._source:
                yield block
        except Exception as error:
            self.failure = error
            raise


class Service:
    """A client of one service's Unix socket.

    ``name`` is what errors call it ("the engine"); ``socket`` its path; ``reuse``: idle connections
    are used again. Close with :meth:`close`.
    """

    def __init__(self, name: str, socket: Path, *, reuse: bool = True) -> None:
        self.name = name
        self.code = f"{socket.stem}_unavailable"
        self._origin = "http://localhost"
        self.socket = socket
        self._reuse = reuse
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

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
        async with self._asked(method, path, json, content, params, headers, timeout) as response:
            return _object(await response.read())

    async def text(self, path: str, *, timeout: Timeout = TIMEOUT) -> str:
        """The text at ``path``; errors as in :meth:`call`."""
        async with self._asked("GET", path, timeout=timeout) as response:
            return (await response.read()).decode("utf-8", errors="replace")

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: AsyncIterator[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout = STREAM_TIMEOUT,
    ) -> AsyncIterator[Incoming]:
        """A response whose body is read as it comes; errors as in :meth:`call`."""
        async with self._asked(
            method, path, json, content, headers=headers, timeout=timeout
        ) as response:
            yield Incoming(self, response)

    async def open(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Incoming:
        """As :meth:`stream`, for a body that outlives the caller's block."""
        try:
            response = await self._send(
                method, path, json, None, params, headers, timeout=STREAM_TIMEOUT
            )
            if response.ok:
                return Incoming(self, response)
            async with response:
                raise _relayed(response.status, await response.content.read())
        except aiohttp.ClientError as error:
            raise self.unreachable(error) from error

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        json: object = None,
        content: AsyncIterator[bytes] | bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout = TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, if it is no error; it is closed in the end, read or not."""
        body = content if content is None or isinstance(content, bytes) else _Body(content)
        try:
            response = await self._send(method, path, json, body, params, headers, timeout)
            async with response:
                if not response.ok:
                    # Not its read(), which waits until all of the request is sent.
                    raise _relayed(response.status, await response.content.read())
                yield response
        except aiohttp.ClientError as error:
            if isinstance(body, _Body) and body.failure is not None:
                raise body.failure from error
            raise self.unreachable(error) from error

    async def _send(
        self,
        method: str,
        path: str,
        json: object = None,
        body: _Body | bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout = TIMEOUT,
    ) -> aiohttp.ClientResponse:
        session = self._session = self._session or self._opened()
        url = URL(self._origin + path, encoded=True)
        return await session.request(
            method,
            url.update_query(params) if params else url,
            json=json,
            data=body,
            headers=headers,
            timeout=timeout.limits,
            allow_redirects=False,
        )

    def _opened(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            json_serialize=_dumped,
            skip_auto_headers=("user-agent", "accept-encoding"),
        )

    def _connector(self) -> aiohttp.BaseConnector:
        if self._reuse:
            return aiohttp.UnixConnector(str(self.socket), limit=0, keepalive_timeout=KEPT_S)
        return aiohttp.UnixConnector(str(self.socket), limit=0, force_close=True)

    def unreachable(self, error: BaseException) -> Unavailable:
        blame = NoConnection if isinstance(error, aiohttp.ClientConnectorError) else Unavailable
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
        self._origin = f"{'https' if tls else 'http'}://{where}:{port}"
        self._tls = tls
        self._session = None

    def unreachable(self, error: BaseException) -> Unavailable:
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
        body = bytearray()
        try:
            async with (
                asyncio.timeout(seconds),
                await self._send(method, path, json) as response,
            ):
                async for block in response.content.iter_any():
                    body += block
                    if len(body) > limit:
                        raise Unavailable(
                            f"{self.name} answers at too great length", code=self.code
                        )
        except TimeoutError as error:
            raise Unavailable(f"{self.name} does not answer in time", code=self.code) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self.unreachable(error) from error
        if not response.ok:
            raise _relayed(response.status, bytes(body))
        return _object(bytes(body))

    def _connector(self) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(
            ssl=self._tls or False, limit=128, keepalive_timeout=KEPT_S, use_dns_cache=False
        )


async def https_status(port: int, *, timeout: float) -> int:
    """The HTTP status with which this machine's own HTTPS port answers a request for its first
    page.

    The certificate is not verified: it is the node's own, nothing is sent but the request, and it
    never leaves the loopback interface. Raises :class:`Unavailable` within ``timeout`` seconds.
    """
    limits = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.get(f"https://127.0.0.1:{port}/", ssl=False, allow_redirects=False) as response,
        ):
            return response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        refused = isinstance(error, aiohttp.ClientConnectorError)
        reason = "no connection" if refused else "no answer"
        raise Unavailable(f"port {port}: {reason}", code="https_unavailable") from error


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _certificate_fault(error: BaseException | None) -> str:
    """What OpenSSL has against the other side's certificate, when that is why ``error`` came."""
    while error is not None:
        # aiohttp's own error is one too, but without OpenSSL's words.
        if isinstance(error, ssl.SSLCertVerificationError) and hasattr(error, "verify_message"):
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
