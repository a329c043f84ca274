"""The outside half of the test agent: asks ``guest_agent.py`` in the machine to run things.

Stays connected for as long as QEMU runs. Each boot's agent says hello with its boot id; whatever an
earlier boot left on the line is told apart by request ids and passed over.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goni_core.errors import GoniError

PIECE = 256 << 10
"""Bytes of a file per request."""
LINE_LIMIT = 16 << 20
GRACE = 60.0
"""Seconds that an emulated machine may need beyond a command's own time."""


@dataclass(frozen=True)
class Result:
    """What a command inside did. ``truncated``: it said more than the agent keeps."""

    rc: int
    stdout: str
    stderr: str
    timed_out: bool = False
    truncated: bool = False


class Rebooted(GoniError):
    """The machine started anew while a request was under way."""


class Silent(GoniError):
    """Nothing came from the agent in the time given."""


class Agent:
    """The connection to one machine's agent. ``alive`` raises when the machine has ended."""

    def __init__(self, stream: socket.socket, alive: Callable[[], None]) -> None:
        self.boot_id = ""
        self._stream = stream
        self._stream.settimeout(0.5)
        self._alive = alive
        self._unread = bytearray()
        self._last_id = 0

    def close(self) -> None:
        self._stream.close()

    def wait_for_boot(self, timeout: float, *, after: str = "") -> str:
        """Wait until an agent of another boot than ``after`` said hello; its boot id."""
        end = time.monotonic() + timeout
        while not self.boot_id or self.boot_id == after:
            self._next(end)
        return self.boot_id

    def command(self, argv: Sequence[str] | str, timeout: float) -> Result:
        """Run ``argv`` inside (a string: in bash, with ``-euo pipefail``)."""
        what = {"shell": argv} if isinstance(argv, str) else {"argv": list(argv)}
        reply = self._ask({**what, "timeout": timeout}, timeout + GRACE)
        return Result(
            rc=int(reply["rc"]),
            stdout=_text(reply["stdout"]),
            stderr=_text(reply["stderr"]),
            timed_out=bool(reply["timed_out"]),
            truncated=bool(reply["truncated"]),
        )

    def push(self, source: Path, target: str, *, mode: int = 0o600, timeout: float = 600) -> None:
        """Copy the file ``source`` to ``target`` inside."""
        end = time.monotonic() + timeout
        with source.open("rb") as handle:
            piece = handle.read(PIECE)
            append = False
            while piece or not append:
                request = {"write": target, "append": append, "mode": mode}
                data = base64.b64encode(piece).decode("ascii")
                self._ask({**request, "data": data}, end - time.monotonic())
                append, piece = True, handle.read(PIECE)

    def pull(self, source: str, target: Path, *, timeout: float = 600) -> None:
        """Copy the file ``source`` from inside to ``target``."""
        end = time.monotonic() + timeout
        with target.open("wb") as sink:
            while True:
                request = {"read": source, "offset": sink.tell(), "length": PIECE}
                reply = self._ask(request, end - time.monotonic())
                piece = base64.b64decode(reply["data"], validate=True)
                sink.write(piece)
                if len(piece) < PIECE:
                    return

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        if not self.boot_id:
            raise Silent("the agent has not said hello yet")
        end = time.monotonic() + timeout
        self._last_id += 1
        line = json.dumps({"id": self._last_id, **request}).encode("ascii") + b"\n"
        self._send(line, end)
        boot = self.boot_id
        while True:
            message = self._next(end)
            if self.boot_id != boot:
                raise Rebooted("the machine rebooted during a command")
            if message.get("id") == self._last_id:
                if "error" in message:
                    raise GoniError(f"the agent could not do that: {message['error']}")
                return message

    def _send(self, data: bytes, end: float) -> None:
        while data:
            self._alive()
            try:
                data = data[self._stream.send(data) :]
            except TimeoutError:
                if time.monotonic() > end:
                    raise Silent("the agent does not take a request") from None
            except OSError as error:
                self._alive()
                raise Silent(f"the agent's line broke: {error}") from error

    def _next(self, end: float) -> dict[str, Any]:
        """The next message; a hello also changes :attr:`boot_id`."""
        while True:
            line = self._line(end)
            try:
                message = json.loads(line)
            except ValueError:
                continue  # cut off by a reboot
            if isinstance(message, dict):
                if "hello" in message:
                    self.boot_id = str(message["hello"])
                return message

    def _line(self, end: float) -> bytes:
        while (cut := self._unread.find(b"\n")) < 0:
            if len(self._unread) > LINE_LIMIT:
                raise GoniError("the agent's answer is too long")
            self._unread += self._receive(end)
        line = bytes(self._unread[:cut])
        del self._unread[: cut + 1]
        return line

    def _receive(self, end: float) -> bytes:
        while True:
            self._alive()
            if time.monotonic() > end:
                raise Silent("the agent inside did not answer in time")
            try:
                block = self._stream.recv(1 << 20)
            except TimeoutError:
                continue
            except OSError as error:
                self._alive()
                raise Silent(f"the agent's line broke: {error}") from error
            if not block:
                self._alive()
                raise Silent("QEMU closed the agent's line")
            return block


def _text(encoded: str) -> str:
    return base64.b64decode(encoded, validate=True).decode("utf-8", errors="replace")
