"""A model hub on this machine, over real TLS, that behaves as badly as a test wants."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

REPO = "someone/tiny-GGUF"
STORE = "/store"
"""Below this address are the files; every other address redirects here, as the real hub does."""


@dataclass
class Served:
    """A file and how it is served. ``cuts``: after so many bytes of the body the line breaks, one
    number per request; ``linked``: the hash that the redirection states.
    """

    content: bytes
    etag: str = '"1"'
    linked: str = ""
    linked_size: int | None = None
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    endless: bool = False
    length: bool = True
    status: int = 0
    redirect: str = ""


@dataclass
class Hub:
    """The files by their path, and what was asked: path, Range header, bytes that were sent."""

    address: str = ""
    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0

    def serve(self, path: str, content: bytes, **more: object) -> Served:
        self.files[path] = served = Served(content, **more)  # type: ignore[arg-type]
        self.asked.clear()
        self.sent = 0
        return served


@contextlib.contextmanager
def running(certificate: tuple[Path, Path] | None) -> Iterator[Hub]:
    """A hub behind TLS with ``certificate`` and its key; plain HTTP without one."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                _answer(self, hub)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that don't like us hang up in the handshake; tests look at them."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    hub.address = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _answer(request: http.server.BaseHTTPRequestHandler, hub: Hub) -> None:
    wanted = request.path.removeprefix(STORE)
    served = hub.files.get(wanted)
    hub.headers.append(dict(request.headers))
    if served is None or served.status:
        _empty(request, served.status if served else 404, {})
    elif not request.path.startswith(STORE):
        linked = {"X-Linked-Etag": f'"{served.linked}"'} if served.linked else {}
        size = len(served.content) if served.linked_size is None else served.linked_size
        where = served.redirect or STORE + request.path
        _empty(request, 302, {"Location": where, "X-Linked-Size": str(size), **linked})
    else:
        hub.asked.append((wanted, request.headers.get("range", "")))
        _file(request, hub, served)


def _empty(
    request: http.server.BaseHTTPRequestHandler, status: int, headers: dict[str, str]
) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": "0"}.items():
        request.send_header(name, value)
    request.end_headers()


def _file(request: http.server.BaseHTTPRequestHandler, hub: Hub, served: Served) -> None:
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    same = request.headers.get("if-range", served.etag) == served.etag
    start = int(found[1]) if found and served.ranges and same else 0
    size = len(served.content)
    if start >= size:
        _empty(request, 416, {})
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
    if served.length:
        request.send_header("Content-Length", str(size - start))
    if served.etag:
        request.send_header("ETag", served.etag)
    request.send_header("Connection", "close")
    request.close_connection = True
    request.end_headers()
    end = start + served.cuts.pop(0) if served.cuts else size
    for place in range(start, min(end, size), 1 << 15):
        block = served.content[place : min(place + (1 << 15), end)]
        request.wfile.write(block)
        hub.sent += len(block)
    while served.endless:
        request.wfile.write(bytes(1 << 15))
        hub.sent += 1 << 15


def path_of(model: str) -> str:
    return f"/{REPO}/resolve/main/{model}.gguf"


def catalog_for(content: bytes) -> str:
    """A catalog whose every model is ``content``: ``tiny`` and ``other`` with its hash, ``wrong``
    with another, ``unknown`` without one, ``huge`` too large for any memory, ``idle`` without use.
    """

    def entry(name: str, sha256: str | None) -> dict[str, Any]:
        stated = {"hash_from": "hub"} if sha256 else {}
        return {
            "id": name,
            "title": name.title(),
            "kind": "embedding" if name == "idle" else "chat",
            "use": "For tests.",
            "source": {"repo": REPO, "revision": "main"},
            "file": f"{name}.gguf",
            "bytes": len(content),
            "sha256": sha256,
            **stated,
            "licence": "none",
            "memory": 1 << 41 if name == "huge" else len(content) * 2,
            "context": 512,
            "parameters": {"total": 0.001, "active": 0.001},
        }

    right = hashlib.sha256(content).hexdigest()
    names = {
        "tiny": right,
        "other": right,
        "idle": right,
        "huge": right,
        "wrong": "0" * 64,
        "unknown": None,
    }
    models = [entry(name, sha256) for name, sha256 in names.items()]
    return yaml.safe_dump({"version": 1, "hub": "https://hub.invalid", "models": models})
