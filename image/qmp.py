"""QEMU's machine protocol (QMP): one JSON object per line over a Unix socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from goni_core.errors import GoniError

TIMEOUT = 30.0
LONGEST = 1 << 20


class Qmp:
    """A short conversation with a running QEMU: open, ask, close."""

    def __init__(self, path: Path, *, timeout: float = TIMEOUT) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._unread = b""
        try:
            self._socket.connect(str(path))
            self._line()
            self.ask("qmp_capabilities")
        except OSError as error:
            self._socket.close()
            raise GoniError(f"QEMU does not answer on its control socket: {error}") from error

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, command: str, **arguments: object) -> Any:
        """QEMU's answer to ``command``; events in between are passed over."""
        request = {"execute": command, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while True:
                answer = self._line()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    words = answer["error"].get("desc", "no reason given")
                    raise GoniError(f"QEMU refused {command}: {words}")
        except OSError as error:
            raise GoniError(f"QEMU did not answer {command}: {error}") from error

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._unread:
            block = self._socket.recv(65536)
            if not block:
                raise ConnectionError("it hung up")
            self._unread += block
            if len(self._unread) > LONGEST:
                raise GoniError("QEMU's answer is too long")
        line, self._unread = self._unread.split(b"\n", 1)
        value = json.loads(line)
        if not isinstance(value, dict):
            raise GoniError("QEMU's answer is not an object")
        return value
