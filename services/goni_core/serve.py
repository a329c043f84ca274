"""Serving HTTP under systemd: sockets it hands over, readiness, watchdog, a clean stop.

sd_notify(3), sd_listen_fds(3). Without systemd (tests, a checkout) sockets are bound here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
import uvloop
from starlette.types import ASGIApp
from systemd import daemon
from uvicorn.protocols.http.h11_impl import H11Protocol

from goni_core.outlet import Outlets

log = logging.getLogger(__name__)
T = TypeVar("T")

HEAD_S = 20.0
"""Seconds that the head of a request may take to arrive."""
HANDSHAKE_S, FIRST_S, LOOK_S = 4.0, 1.0, 0.02
"""Seconds that a stop leaves to connections that were accepted just before: for TLS to begin, and
for the first request to come."""


@dataclass(frozen=True)
class Listener:
    """One application on one listening socket, with TLS when ``certificate`` and ``key`` are
    given, or ``tls`` itself.

    ``guard`` looks at each connection once its handshake is done, before a byte of it is read: it
    returns who it is, which the application finds in the scope's state as ``peer``, or ``None`` to
    close it.

    With ``when`` nothing is accepted until that event is set: until then another process may serve
    the same socket, and connections wait in the kernel.
    """

    app: ASGIApp
    socket: socket.socket
    certificate: Path | None = None
    key: Path | None = None
    when: asyncio.Event | None = None
    tls: ssl.SSLContext | None = None
    guard: Callable[[asyncio.Transport], str | None] | None = None

    @property
    def due(self) -> bool:
        return self.when is None or self.when.is_set()


class _Protocol(H11Protocol):
    """Gives a request's head :data:`HEAD_S` to arrive, from the connection's or from its first
    byte: uvicorn waits for ever, so that a few hundred trickling clients would use up its files.
    """

    guard: Callable[[asyncio.Transport], str | None] | None = None
    beginning: weakref.WeakSet[_Protocol]
    """Connections that were accepted and are still in their TLS handshake."""
    _late: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.beginning.add(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        super().connection_made(transport)
        self.beginning.discard(self)
        self._expect_head()
        if self.guard is not None:
            peer = self.guard(transport)
            self.app_state = {**self.app_state, "peer": peer}
            if peer is None:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()
        else:
            self._stop_expecting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_expecting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Several servers share one process; :func:`serve` handles its signals."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hear out who came last, then say goodbye to idle TLS connections without waiting for
        theirs: a client that isn't reading would hold the stop up for 10 s.
        """
        await self._hear_out()
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            transport = getattr(connection, "transport", None)
            # One that closes already is left alone: closing twice takes asyncio's TLS transport
            # apart, and the next question to it is an AttributeError (asyncio/sslproto.py).
            if transport is None or transport.is_closing():
                continue
            if cycle is None or cycle.response_complete:
                connection.shutdown()
                if transport.get_write_buffer_size() == 0:
                    transport.abort()
        await super().shutdown(sockets)

    def stop_accepting(self) -> None:
        """Let new connections wait in the kernel from now on, for whoever serves the socket next;
        uvicorn would go on for a tick and then close them unanswered.
        """
        for accepting in getattr(self, "servers", ()):
            accepting.close()

    async def _hear_out(self) -> None:
        beginning: weakref.WeakSet[_Protocol] = self.config.http_protocol_class.beginning  # type: ignore[attr-defined]  # _config's
        for _ in range(int(HANDSHAKE_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            if not beginning:
                break
        for _ in range(int(FIRST_S / LOOK_S)):
            connections = self.server_state.connections
            if all(getattr(connection, "cycle", None) for connection in connections):
                return
            await asyncio.sleep(LOOK_S)


def inherited(name: str) -> socket.socket | None:
    """The listening socket that systemd passed under ``FileDescriptorName=name``, if any."""
    found = opened(name)
    return None if found is None else socket.socket(fileno=found)


def opened(name: str) -> int | None:
    """What systemd passed under ``name``, a socket or a file of ``OpenFile=``, if anything."""
    # The environment stays as it is: a service asks once for each of its sockets.
    for fd, fd_name in daemon.listen_fds_with_names(unset_environment=False).items():
        if fd_name == name:
            return int(fd)
    return None


def bind_unix(path: Path) -> socket.socket:
    """Listen on a Unix socket at ``path``, replacing one that a dead process left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o660)
    listening.listen(128)
    return listening


def bind_tcp(host: str, port: int) -> socket.socket:
    """Listen on ``host``:``port`` (port 0: any free one)."""
    return socket.create_server((host, port), backlog=128)


def unix_or_inherited(name: str, path: Path) -> socket.socket:
    """The socket named ``name`` from systemd, or one bound at ``path``."""
    return inherited(name) or bind_unix(path)


def run(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` on uvloop, which handles an event of a stream in half of the time."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def serve(
    listeners: Sequence[Listener],
    *,
    stop: asyncio.Event | None = None,
    alive: Callable[[], Awaitable[bool]] | None = None,
    status: str = "",
) -> None:
    """Serve until SIGTERM, SIGINT or ``stop``; then finish running requests for up to 10 s.

    Tells systemd when every listener that is due answers (``READY=1``), and keeps the watchdog fed
    as long as ``alive`` (default: the event loop turning) is true.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = [_Server(_config(listener)) for listener in listeners]
    due = [server for server, listener in zip(servers, listeners, strict=True) if listener.due]
    tasks = [
        asyncio.create_task(_run(server, listener, stop))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    stopping = asyncio.create_task(stop.wait())
    watchdog = asyncio.create_task(_watchdog(alive))
    try:
        while not all(server.started for server in due):
            if any(task.done() for task in tasks):
                break
            await asyncio.sleep(0.01)
        daemon.notify("READY=1" + (f"\nSTATUS={status}" if status else ""))
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        daemon.notify("STOPPING=1")
        watchdog.cancel()
        stopping.cancel()
        stop.set()
        for server in servers:
            server.stop_accepting()
            server.should_exit = True
        await asyncio.gather(*tasks)


async def _run(server: _Server, listener: Listener, stop: asyncio.Event) -> None:
    if listener.when is not None and not await _first(listener.when, before=stop):
        return
    await server.serve(sockets=[listener.socket])


async def _first(event: asyncio.Event, *, before: asyncio.Event) -> bool:
    """Wait for either; true when ``event`` came and ``before`` did not."""
    waits = {asyncio.create_task(event.wait()), asyncio.create_task(before.wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return event.is_set() and not before.is_set()


@contextlib.asynccontextmanager
async def serving(listener: Listener) -> AsyncIterator[None]:
    """Serve one more listener, beside those of :func:`serve`, as long as the block lasts."""
    server = _Server(_config(listener))
    task = asyncio.create_task(server.serve(sockets=[listener.socket]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield
    finally:
        server.stop_accepting()
        server.should_exit = True
        await task


def _config(listener: Listener) -> uvicorn.Config:
    own = {"guard": _static(listener.guard), "beginning": weakref.WeakSet()}
    protocol = type("_Guarded", (_Protocol,), own)
    config = uvicorn.Config(
        Outlets(listener.app),
        http=protocol,
        proxy_headers=False,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        ssl_certfile=listener.certificate,
        ssl_keyfile=listener.key,
    )
    if listener.tls is not None:
        config.load()
        config.ssl = listener.tls
    return config


def _static(guard: Callable[[asyncio.Transport], str | None] | None) -> object:
    return staticmethod(guard) if guard else None


async def _watchdog(alive: Callable[[], Awaitable[bool]] | None) -> None:
    interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 3
    if interval <= 0:
        return
    while True:
        if alive is None or await alive():
            daemon.notify("WATCHDOG=1")
        else:
            log.warning("not alive: the watchdog is not fed")
        await asyncio.sleep(interval)
