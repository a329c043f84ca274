"""A gateway in its own process behind real TLS, for the tests beside this file; and a small engine
and document search of the contract's shape, for what the real ones can't be made to do on demand
(break off, stall, forget).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from goni_gateway import keys, people
from goni_gateway.database import Database

OWNER = {"name": "Ada", "password": "correct horse battery"}
MEMBER_PASSWORD = "a member's password"
SERVICES = Path(__file__).resolve().parents[2] / "services"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A throw-away certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "goni test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    crt, pem = folder / "tls.crt", folder / "tls.key"
    crt.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return crt, pem


class Node:
    """One gateway with its own sockets and state in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.state = folder / "state"
        self.run.mkdir(parents=True, exist_ok=True)
        self.crt, self.key = certificate(folder)
        self.trusted = self.crt
        self.more: tuple[str, ...] = ()
        self.log = folder / "log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._clients = contextlib.ExitStack()
        self._key = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "GONI_RUN": str(self.run),
            "GONI_STATE": str(self.state),
            "PYTHONPATH": str(SERVICES),
        }

    def start(self) -> None:
        listen = f"127.0.0.1:{self.port}"
        argv = [sys.executable, "-m", "goni_gateway", "serve", "--listen", listen]
        argv += ["--certificate", str(self.crt), "--key", str(self.key), *self.more]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, env=self.environment, stdout=log, stderr=log)
        wait_for(lambda: answers(self.run / "gateway.sock"), 60)

    def stop(self) -> None:
        self._clients.close()
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(20) == 0
            self.process = None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)
        self.process = None

    def control(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.run / "gateway.sock"))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            return client.request(method, path, timeout=20, **kwargs)

    def set_up(self) -> None:
        body = {"owner": OWNER, "node_name": "kitchen"}
        assert self.control("POST", "/setup", json=body).status_code == 201

    def client(self, **headers: str) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=self.trusted)
        client = httpx.Client(base_url=self.url, verify=trusted, headers=headers, timeout=30)
        self._clients.callback(client.close)
        return client

    def signed_in(self) -> httpx.Client:
        """The owner's browser."""
        client = self.client(**{"sec-fetch-site": "same-origin"})
        assert client.post("/api/sign-in", json=OWNER).status_code == 200
        return client

    def a_key(self) -> str:
        """The owner's API key; the same one each time, as signing in takes a while."""
        self._key = self._key or self.new_key()
        return self._key

    def member_key(self, name: str) -> str:
        """The API key of a new member called ``name``, without the time that a password takes."""
        database = Database(self.state / "gateway" / "gateway.db")
        try:
            person = database.run(people.add, name, "member", "none")
            return database.run(keys.create, person, "test")[1]
        finally:
            database.close()

    def joined(self, name: str) -> httpx.Client:
        """The browser of a new member, who used an invitation."""
        made = self.signed_in().post("/api/people", json={"name": name})
        assert made.status_code == 201, made.text
        browser = self.client(**{"sec-fetch-site": "same-origin"})
        body = {"code": made.json()["code"], "password": MEMBER_PASSWORD}
        assert browser.post("/api/join", json=body).status_code == 201
        return browser

    def crowd(self, key: str) -> httpx.AsyncClient:
        """An app with ``key`` that asks many things at once."""
        trusted = ssl.create_default_context(cafile=self.trusted)
        headers = {"authorization": f"Bearer {key}"}
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(
            base_url=self.url, verify=trusted, headers=headers, timeout=120, limits=limits
        )

    def new_key(self) -> str:
        return str(self.signed_in().post("/api/keys", json={"name": "test"}).json()["key"])


def wait_for(ready: Any, seconds: float = 20) -> None:
    """Until ``ready()`` is true; connection errors count as not yet."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if ready():
                return
        assert time.monotonic() < end, "not ready in time"
        time.sleep(0.05)


def answers(path: Path) -> bool:
    """Whether somebody accepts on the Unix socket at ``path``."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class StandIn:
    """An engine and a document search on Unix sockets that do what a test says."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.hung_up = threading.Event()
        self.reset()
        self._servers: list[uvicorn.Server] = []
        self._threads: list[threading.Thread] = []

    def reset(self) -> StandIn:
        """As new: nothing asked yet, nothing found, a small context."""
        self.asked: list[dict[str, Any]] = []
        self.searched: list[dict[str, Any]] = []
        self.sources: list[dict[str, Any]] = []
        self.found = True
        self.uploads: dict[str, int] = {}
        self.context = 4096
        self.last_words = "there"
        self.search_delay = 0.0
        self.hung_up.clear()
        return self

    def start(self) -> None:
        engine = [
            Route("/health", _fine),
            Route("/v1/models", self._models),
            Route("/models/{name}", self._put_model, methods=["PUT"]),
            Route("/count", self._count, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        rag = [Route("/health", _fine), Route("/search", self._search, methods=["POST"])]
        for name, routes in (("engine", engine), ("rag", rag)):
            path = str(self.run / f"{name}.sock")
            config = uvicorn.Config(Starlette(routes=routes), uds=path, log_config=None)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            self._servers.append(server)
            self._threads.append(thread)
        wait_for(lambda: all(server.started for server in self._servers))

    def stop(self) -> None:
        for server in self._servers:
            server.should_exit = server.force_exit = True
        for thread in self._threads:
            thread.join(10)

    async def _models(self, request: Request) -> Response:
        chat = ["tiny", "sees", "breaks", "endless", "slow", "silent"]
        data = [_model(name, "chat") for name in chat] + [_model("all-MiniLM", "embedding")]
        return JSONResponse({"object": "list", "data": data})

    async def _put_model(self, request: Request) -> Response:
        size = 0
        async for block in request.stream():
            size += len(block)
            if request.path_params["name"] == "refused.gguf" and size > 1 << 20:
                error = {"message": "not enough room", "code": "disk_full"}
                headers = {"connection": "close"}
                return JSONResponse({"error": error}, status_code=507, headers=headers)
        self.uploads[request.path_params["name"]] = size
        return JSONResponse({"id": "new", "announced": request.headers["content-length"]}, 201)

    async def _count(self, request: Request) -> Response:
        asked = await request.json()
        words = json.dumps([asked["messages"], asked.get("tools")]).split()
        return JSONResponse({"tokens": len(words), "context": self.context})

    async def _search(self, request: Request) -> Response:
        self.searched.append(await request.json())
        await asyncio.sleep(self.search_delay)
        found = self.found and bool(self.sources)
        return JSONResponse({"sources": self.sources, "found": found})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if body["model"] == "slow":
            while (await request.receive())["type"] != "http.disconnect":
                pass
            self.hung_up.set()
        if not body["stream"]:
            message = {"role": "assistant", "content": "Hello there"}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return JSONResponse({**_head("chat.completion"), "choices": choices})
        return StreamingResponse(
            self._stream(request, body["model"]), media_type="text/event-stream"
        )

    async def _stream(self, request: Request, model: str) -> AsyncIterator[bytes]:
        yield _chunk({"role": "assistant", "content": None})
        if model == "silent":
            yield b"data: [DONE]\n\n"
            return
        yield _chunk({"content": "Hello "})
        if model == "breaks":
            raise RuntimeError("the engine died")
        while model == "endless":
            yield _chunk({"content": "on "})
            await asyncio.sleep(0.02)
            if await request.is_disconnected():
                self.hung_up.set()
                return
        yield _chunk({"content": self.last_words})
        yield _chunk({}, "stop")
        yield b"data: [DONE]\n\n"


async def _fine(request: Request) -> Response:
    return JSONResponse({"service": "stand-in", "ok": True, "words": "", "checks": []})


def _model(name: str, kind: str) -> dict[str, Any]:
    goni = {"id": name, "kind": kind, "bytes": 1, "context": 4096, "architecture": "llama"}
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "goni",
        "goni": {**goni, "state": "available", "reason": "", "pictures": name == "sees"},
    }


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "tiny"}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return (
        b"data: "
        + json.dumps({**_head("chat.completion.chunk"), "choices": choices}).encode()
        + b"\n\n"
    )


def source(document: str, text: str, page: int = 1, score: float = 1.0) -> dict[str, Any]:
    return {"document": document, "page": page, "heading": "", "text": text, "score": score}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[Node, StandIn]]:
    """A set-up node with the stand-in behind it."""
    node = Node(folder)
    behind = StandIn(node.run)
    behind.start()
    node.start()
    try:
        node.set_up()
        yield node, behind
        node.stop()
    finally:
        if node.process is not None:
            node.kill()
        behind.stop()
