"""A real engine for tests: ``goni-engine serve`` with its own sockets, state and log."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from goni_core import paths, run

CHAT = "/v1/chat/completions"


def check_built() -> None:
    """Fail the test that needs an engine in a checkout that has none."""
    if not (paths.engine_dir() / "bin/llama-server").exists():
        pytest.fail(f"there is no engine in {paths.engine_dir()}; make setup builds it")


@dataclass
class Node:
    """The engine's folder, and its process while it runs."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def models(self) -> Path:
        return self.folder / "state/engine/models"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start, and wait until it is ready."""
        check_built()
        environment = {
            "GONI_RUN": str(self.folder / "run"),
            "GONI_STATE": str(self.folder / "state"),
            "TMPDIR": str(self.folder),
            **self.extra,
        }
        self.process = run.start(
            [sys.executable, "-m", "goni_engine", "serve"],
            env=environment,
            output=self.folder / "log",
        )
        deadline = time.monotonic() + 60
        while not self._accepts():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, "the engine did not start: " + self.log
            time.sleep(0.05)
        with self.client() as client:  # waits in the socket's queue until it is ready
            client.get("/health").raise_for_status()

    def stop(self, *, kill: bool = False) -> int:
        """End it; its exit status."""
        assert self.process
        for child in self.children() if kill else ():
            os.kill(child, signal.SIGKILL)
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        return self.process.wait(30)

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as trial:
            return trial.connect_ex(str(self.folder / "run/engine.sock")) == 0

    def client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.folder / "run/engine.sock"))
        return httpx.Client(transport=transport, base_url="http://engine", timeout=60)

    def children(self) -> list[int]:
        """The process ids of its llama-servers."""
        assert self.process
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(word) for task in tasks for word in task.read_text().split()]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Node]:
    """A started engine with its state in ``folder``, stopped at the end."""
    node = Node(folder)
    node.start()
    try:
        yield node
    finally:
        if node.process and node.process.poll() is None:
            node.stop()


def ask(text: str, *, model: str = "tiny", tokens: int = 16, **more: Any) -> dict[str, Any]:
    """A chat request."""
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0} | more


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON of a stream's events."""
    for line in lines:
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))
