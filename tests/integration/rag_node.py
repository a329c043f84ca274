"""What the goni_rag tests share: a service process, and a small engine that embeds by hashing
words.

The small engine is a real HTTP server on a real socket; whether vectors mean anything is tested
against goni_engine itself (test_rag_engine).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np

from goni_core import run
from goni_core.contract import EMBEDDING_DIMENSIONS, EMBEDDING_MODEL

COMMAND = [sys.executable, "-W", "error", "-m", "goni_rag"]


class WordEngine:
    """Serves ``/v1/embeddings`` on ``engine.sock``: a text's vector is the sum of its words'.

    ``texts`` counts what was embedded; ``delay`` makes every request take as many seconds;
    ``refuses`` is a word that makes it answer 400.
    """

    def __init__(self, folder: Path) -> None:
        self.texts = 0
        self.delay = 0.0
        self.refuses = ""
        self.asked = threading.Event()
        path = folder / "engine.sock"
        path.unlink(missing_ok=True)
        self._server = _Server(str(path), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        Path(str(self._server.server_address)).unlink()
        self._thread.join()

    def answer(self, asked: dict) -> tuple[int, dict]:
        assert asked["model"] == EMBEDDING_MODEL
        self.asked.set()
        time.sleep(self.delay)
        if self.refuses and any(self.refuses in text for text in asked["input"]):
            return 400, {"error": {"message": "too long", "code": "too_long"}}
        self.texts += len(asked["input"])
        data = [
            {"index": index, "embedding": base64.b64encode(_vector(text)).decode()}
            for index, text in enumerate(asked["input"])
        ]
        return 200, {"data": data}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


def _vector(text: str) -> bytes:
    total = np.zeros(EMBEDDING_DIMENSIONS)
    for word in re.findall(r"\w+", text.lower()):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).normal(size=EMBEDDING_DIMENSIONS)
    return (total / (np.linalg.norm(total) or 1.0)).astype("<f4").tobytes()


def _handler(engine: WordEngine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply(200, {"object": "list", "data": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(*engine.answer(json.loads(body)))

        def reply(self, status: int, answer: dict) -> None:
            data = json.dumps(answer).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class Rag:
    """A ``goni-rag serve`` process with its sockets in ``base/run`` and state in ``base/state``;
    ``within`` is a command that starts it.
    """

    def __init__(self, base: Path, within: Sequence[str] = ()) -> None:
        self.base = base
        self.argv = [*within, *COMMAND, "serve"]
        self.run = base / "run"
        self.folders = base / "state/rag/folders"
        self.run.mkdir(parents=True, exist_ok=True)
        self.env = {"GONI_RUN": str(self.run), "GONI_STATE": str(base / "state")}
        self.start()

    def start(self) -> None:
        (self.run / "rag.sock").unlink(missing_ok=True)
        self.process = run.start(self.argv, env=self.env, output=self.base / "rag.log")
        transport = httpx.HTTPTransport(uds=str(self.run / "rag.sock"))
        self.http = httpx.Client(transport=transport, base_url="http://rag", timeout=120.0)
        eventually(self._answers)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        os.kill(self.process.pid, number)
        self.process.wait(60)
        self.http.close()

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.base / "rag.log").read_text()
        # httpcore leaves a socket open when it can't connect, so a plain one looks first.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.run / "rag.sock")) != 0:
                return False
        return self.http.get("/documents", params={"owner": "nobody"}).status_code == 200

    def put(self, owner: str, name: str, data: bytes | str) -> dict:
        content = data.encode() if isinstance(data, str) else data
        answer = self.raw_put(owner, quote(name), content)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def raw_put(self, owner: str, name: str, content: bytes) -> httpx.Response:
        # In blocks, because httpcore copies what is left of one for every piece it sends.
        blocks = (content[start : start + 65536] for start in range(0, len(content), 65536))
        headers = {"Content-Length": str(len(content))}
        return self.http.put(
            f"/documents/{name}", params={"owner": owner}, content=blocks, headers=headers
        )

    def documents(self, owner: str) -> dict[str, dict]:
        answer = self.http.get("/documents", params={"owner": owner})
        return {document["name"]: document for document in answer.json()["documents"]}

    def search(self, owner: str, query: str, k: int = 5) -> list[dict]:
        return self.ask(owner, query, k)["sources"]

    def ask(self, owner: str, query: str, k: int = 5, **filters: object) -> dict:
        """``sources`` and whether the answer was ``found``."""
        asked = {"owner": owner, "query": query, "k": k, **filters}
        answer = self.http.post("/search", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def peak_memory(self) -> int:
        """The most bytes of memory that the process ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


@contextlib.contextmanager
def running(base: Path, within: Sequence[str] = ()) -> Iterator[Rag]:
    rag = Rag(base, within)
    try:
        yield rag
    finally:
        if rag.process.poll() is None:
            rag.stop()


def eventually(true, seconds: float = 60.0) -> None:
    """Wait until ``true()`` is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.05)
