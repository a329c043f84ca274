"""What the goni_mesh tests share: ``goni-mesh serve`` processes, each a node of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from goni_core import run

COMMAND = [sys.executable, "-W", "error", "-m", "goni_mesh"]
PASSWORD = "correct horse battery"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        some = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in some]


class Node:
    """A node with its sockets in ``base/run`` and its state in ``base/state``. ``prefix`` goes
    before its command, as in ``ip netns exec NAME``.
    """

    def __init__(
        self,
        base: Path,
        *,
        host: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
        more: tuple[str, ...] = ("--no-discovery",),
    ) -> None:
        self.base, self.host = base, host
        base.mkdir(parents=True, exist_ok=True)
        self.port, self.pairing = free_ports(2)
        self.env = {"GONI_RUN": str(base / "run"), "GONI_STATE": str(base / "state")}
        self._prefix, self._more = prefix, more
        self.start()

    @property
    def state(self) -> Path:
        return self.base / "state/mesh"

    def start(self) -> None:
        (self.base / "run/mesh.sock").unlink(missing_ok=True)
        ports = ["--port", str(self.port), "--pairing-port", str(self.pairing)]
        argv = [*self._prefix, *COMMAND, "serve", "--host", self.host, *ports, *self._more]
        self.process = run.start(argv, env=self.env, output=self.base / "mesh.log")
        transport = httpx.HTTPTransport(uds=str(self.base / "run/mesh.sock"))
        self.http = httpx.Client(transport=transport, base_url="http://mesh", timeout=120.0)
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.base / "run/mesh.sock")) != 0:
                return False
        return self.http.get("/health").status_code == 200

    @property
    def log(self) -> str:
        return (self.base / "mesh.log").read_text()

    def end(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.process.pid, number)
        self.http.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def ask(self, method: str, path: str, body: object = None, status: int = 200) -> dict:
        answer = self.http.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    @property
    def id(self) -> str:
        return self.ask("GET", "/status")["node"]

    def found(self) -> str:
        body = {"name": "Home", "node_name": "first", "password": PASSWORD}
        return self.ask("POST", "/household", body, 201)["recovery"]

    def pair(self, new: Node, name: str = "another") -> dict:
        """Let ``new`` in by its PIN."""
        shown = new.ask("POST", "/offer", status=201)
        body = {"pin": shown["pin"], "name": name, "password": PASSWORD}
        address = f"{new.host}:{new.pairing}"
        eventually(lambda: reachable(new.host, new.pairing))
        return self.ask("POST", "/pair", {**body, "address": address})

    def peers(self) -> dict[str, dict]:
        return {one["id"]: one for one in self.ask("GET", "/peers")["peers"]}

    def sees(self, *others: Node) -> bool:
        """Whether just these peers are here."""
        return {one for one, state in self.peers().items() if state["here"]} == {
            other.id for other in others
        }

    def field(self, name: str) -> tuple[object, list[object]]:
        found = [one for one in self.ask("GET", "/fields")["fields"] if one["name"] == name]
        return (found[0]["value"], found[0]["beside"]) if found else (None, [])

    def write(self, name: str, value: object) -> None:
        self.ask("PUT", f"/fields/{name}", {"value": value})

    def command(self, *words: str, typed: str = "") -> dict:
        done = run.run(
            [*COMMAND, *words, "--json"], env=self.env, input=typed.encode(), timeout=120
        )
        return json.loads(done.stdout)


@contextlib.contextmanager
def nodes(base: Path, count: int) -> Iterator[list[Node]]:
    made: list[Node] = []
    try:
        for number in range(count):
            made.append(Node(base / f"node{number}"))
        yield made
    finally:
        for node in made:
            if node.process.poll() is None:
                node.end()


def reachable(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def eventually(true: Callable[[], bool], seconds: float = 120.0) -> float:
    """Wait until ``true()`` is; returns how many seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + seconds, "it did not become true in time"
        time.sleep(0.05)
    return time.monotonic() - began
