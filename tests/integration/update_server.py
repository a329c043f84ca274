"""A web server with a repository on it, that behaves as badly as a test wants."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class UpdateServer:
    """``folder`` over HTTP. ``status`` and ``redirect`` answer every request; ``endless`` bodies
    don't end; ``drip`` is the pause in seconds after each byte; ``cuts`` break the line after so
    many bytes of a packed target, one per request; ``replace`` sends other bytes for a path's end.
    """

    folder: Path
    address: str = ""
    status: int = 0
    redirect: str = ""
    endless: bool = False
    drip: float = 0.0
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    replace: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0
    closing: bool = False

    def body(self, path: str) -> bytes | None:
        for ending, data in self.replace.items():
            if path.endswith(ending):
                return data
        place = self.folder / path.lstrip("/")
        return place.read_bytes() if place.is_file() else None

    def targets_sent(self) -> list[str]:
        """The names of the target files that were asked for, without their hashes."""
        return [
            path.rpartition("/")[2].partition(".")[2]
            for path, _ in self.asked
            if "/targets/" in path
        ]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[UpdateServer]:
    """A server for ``folder`` on the loopback interface, for the time of the block."""
    state = UpdateServer(folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                _answer(self, state)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing = True
        server.shutdown()
        server.server_close()
        thread.join(10)


def _answer(request: http.server.BaseHTTPRequestHandler, state: UpdateServer) -> None:
    state.asked.append((request.path, request.headers.get("range", "")))
    request.close_connection = True
    body = state.body(request.path)
    status = state.status or (302 if state.redirect else 404 if body is None else 0)
    if status:
        request.send_response(status)
        if state.redirect:
            request.send_header("Location", state.redirect)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    assert body is not None
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    start = int(found[1]) if found and state.ranges else 0
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    if not state.endless:
        request.send_header("Content-Length", str(len(body) - start))
    request.send_header("Connection", "close")
    request.end_headers()
    cut = state.cuts.pop(0) if state.cuts and request.path.endswith(".zst") else len(body)
    data = body[start : start + cut]
    step = 1 if state.drip else 1 << 14
    for at in range(0, len(data), step):
        request.wfile.write(data[at : at + step])
        state.sent += step
        if state.drip:
            time.sleep(state.drip)
    while state.endless and not state.closing:
        request.wfile.write(bytes(1 << 14))
        state.sent += 1 << 14
