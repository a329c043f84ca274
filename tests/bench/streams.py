"""One streamed chat request after another on one connection, timed: the bench's client.

Lean, as it shares the machine with what it measures: HTTP by h11 on asyncio's own streams, the same
for every server. Nothing is hidden: what a stream ends with is kept as it was (:class:`Answer`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

PATH = "/v1/chat/completions"
TIMEOUT_S = 300.0
BLOCK = 1 << 16


@dataclass(frozen=True)
class Peer:
    """A server that answers chats: on a Unix socket, or on a port of 127.0.0.1 with TLS or
    without. ``fields`` are added to every request.
    """

    name: str
    model: str
    unix: Path | None = None
    port: int = 0
    tls: ssl.SSLContext | None = None
    key: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Answer:
    """What came of one request. Times are seconds of the monotonic clock, 0 when it didn't come to
    that; ``error`` is the server's own words, ``broken`` how the connection failed.
    """

    begun: float
    status: int = 0
    text: str = ""
    finish: str = ""
    error: str = ""
    broken: str = ""
    first: float = 0.0
    last: float = 0.0
    ended: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether it came to its end without any error."""
        return self.status == 200 and bool(self.finish) and not self.error and not self.broken

    @property
    def wait(self) -> float:
        """Seconds until the first token."""
        return self.first - self.begun

    @property
    def pace(self) -> float:
        """Tokens a second after the first; a token is a character of the bench's model."""
        return (len(self.text) - 1) / (self.last - self.first) if self.last > self.first else 0.0


class Line:
    """A connection to ``peer``, kept from one request to the next where the server keeps it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._http = h11.Connection(h11.CLIENT)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect, unless the connection is there and can be used again."""
        if self._streams is not None:
            reader, writer = self._streams
            if not (reader.at_eof() or writer.is_closing()) and self._again():
                return
            await self.close()
        self._http = h11.Connection(h11.CLIENT)
        if self.peer.unix is not None:
            self._streams = await asyncio.open_unix_connection(str(self.peer.unix))
        else:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self.peer.port, ssl=self.peer.tls
            )

    def _again(self) -> bool:
        if self._http.our_state is h11.IDLE:
            return True
        if self.peer.unix is not None:
            # llama-server closes after every stream without saying so: its content provider ends
            # with false, which cpp-httplib takes for a failure (tools/server/server-http.cpp).
            return False
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        return True

    async def close(self) -> None:
        """Hang up, whatever is under way."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None

    async def ask(self, prompt: str, tokens: int, *, timeout: float = TIMEOUT_S) -> Answer:
        """Ask greedily for ``tokens`` tokens; every failure is in the answer, none is raised."""
        answer = Answer(time.monotonic())
        try:
            async with asyncio.timeout(timeout):
                await self.open()
                answer.begun = time.monotonic()
                await self._exchange(self._request(prompt, tokens), answer)
        except (OSError, h11.ProtocolError, TimeoutError, ValueError) as error:
            answer.broken = type(error).__name__
        answer.ended = time.monotonic()
        return answer

    def _request(self, prompt: str, tokens: int) -> bytes:
        body = json.dumps(
            {
                "model": self.peer.model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": tokens,
                "temperature": 0,
                "stream": True,
                **self.peer.fields,
            }
        ).encode()
        headers = [("Host", "127.0.0.1"), ("Content-Type", "application/json")]
        headers.append(("Content-Length", str(len(body))))
        if self.peer.key:
            headers.append(("Authorization", f"Bearer {self.peer.key}"))
        events = (
            h11.Request(method="POST", target=PATH, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        return b"".join(self._http.send(event) or b"" for event in events)

    async def _exchange(self, request: bytes, answer: Answer) -> None:
        assert self._streams is not None
        reader, writer = self._streams
        events = Events(answer)
        writer.write(request)
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await reader.read(BLOCK))
            elif isinstance(event, h11.Response):
                answer.status = event.status_code
            elif isinstance(event, h11.Data):
                events.feed(bytes(event.data), time.monotonic())
            elif isinstance(event, h11.EndOfMessage):
                events.end()
                return
            elif isinstance(event, h11.ConnectionClosed):
                answer.broken = "closed"
                return


@dataclass
class Events:
    """Reads a body into ``answer``: server-sent events, or an error in one piece."""

    answer: Answer
    _rest: bytes = b""
    _body: list[bytes] = field(default_factory=list)

    def feed(self, block: bytes, now: float) -> None:
        """Take the next bytes, which came at ``now``."""
        if self.answer.status != 200:
            self._body.append(block)
            return
        *events, self._rest = (self._rest + block).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            if event.startswith(b"data: {"):
                self._take(json.loads(event[6:]), now)

    def _take(self, chunk: dict[str, Any], now: float) -> None:
        if "error" in chunk:
            self.answer.error = said(chunk)
        for choice in chunk.get("choices") or ():
            text = (choice.get("delta") or {}).get("content")
            if text:
                self.answer.first = self.answer.first or now
                self.answer.last = now
                self.answer.text += text
            self.answer.finish = choice.get("finish_reason") or self.answer.finish

    def end(self) -> None:
        """The body is over."""
        if self.answer.status != 200:
            try:
                self.answer.error = said(json.loads(b"".join(self._body)))
            except ValueError:
                self.answer.broken = "an error that is not JSON"


def said(body: Any) -> str:
    """The words of an error in OpenAI's shape; empty when they are missing."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message") or "") if isinstance(error, dict) else ""


async def together(
    peers: Sequence[Peer], prompts: Sequence[str], tokens: int
) -> tuple[list[Answer], float]:
    """Ask every prompt at the same time, each on an open connection of its own, the peers in turn;
    the answers and the seconds until the last has ended.
    """
    lines = [Line(peers[place % len(peers)]) for place in range(len(prompts))]
    try:
        await asyncio.gather(*(line.open() for line in lines))
        begun = time.monotonic()
        asked = zip(lines, prompts, strict=True)
        answers = await asyncio.gather(*(line.ask(prompt, tokens) for line, prompt in asked))
        return answers, max(answer.ended for answer in answers) - begun
    finally:
        for line in lines:
            await line.close()
