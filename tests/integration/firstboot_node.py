"""A node whose services are started as systemd does it: each its own process, one listening socket
that a third (here the test) holds and hands over.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from goni_core import run

INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="https")
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""


@dataclass
class Node:
    """What systemd has of a node: folders, a certificate, the socket, and its services."""

    folder: Path
    listening: socket.socket
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.listening.getsockname()[1]}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "GONI_RUN": str(self.folder / "run"),
            "GONI_STATE": str(self.folder / "state"),
            "CREDENTIALS_DIRECTORY": str(self.folder / "state/mesh"),
        }

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        handle = self.listening.fileno()
        log = (self.folder / f"{module}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-c", INHERIT, str(handle), module, "serve", *arguments],
            env=self.environment,
            pass_fds=[handle],
            stdout=log,
            stderr=log,
        )
        log.close()
        self.started.append(process)
        return process

    def gateway(self) -> subprocess.Popen[bytes]:
        process = self.start("goni_gateway")
        wait_until((self.folder / "run/gateway.sock").exists)
        return process

    def wizard(self) -> subprocess.Popen[bytes]:
        return self.start("goni_firstboot", "--screen", str(self.screen))

    @property
    def screen(self) -> Path:
        return self.folder / "screen"

    def pin(self) -> str:
        """The PIN, as a person reads it off the screen."""
        wait_until(self.screen.exists)
        found = re.search(r"PIN: +(\d{3}) (\d{3})", self.screen.read_text())
        assert found is not None
        return found[1] + found[2]

    def log(self, module: str) -> str:
        return (self.folder / f"{module}.log").read_text()

    def browser(self) -> httpx.Client:
        # Like a browser after its warning: this very certificate and no other.
        trust = ssl.create_default_context(cafile=self.folder / "state/mesh/tls.crt")
        return httpx.Client(base_url=self.url, verify=trust, timeout=20)


def wait_until(condition: object, seconds: float = 120.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Node]:
    """A node in the empty ``folder``: nothing runs yet; what was started ends with the block."""
    for name in ("run", "state/gateway", "state/mesh", "state/firstboot"):
        (folder / name).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        node = Node(folder, listening)
        run.run([sys.executable, "-m", "goni_mesh", "identity"], timeout=60, env=node.environment)
        try:
            yield node
        finally:
            for process in node.started:
                process.terminate()
            for process in node.started:
                process.wait(60)
