"""``goni-health`` as the boot runs it, against services on real sockets and a real TLS port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SERVICES = """
import asyncio, sys
from pathlib import Path
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from goni_core import web
from goni_core.serve import Listener, bind_tcp, bind_unix, serve

folder, sick = Path(sys.argv[1]), sys.argv[2]

def service(name):
    answer = {"service": name, "ok": name != sick, "words": f"{name} is here", "checks": []}
    app = web.application([Route("/health", lambda request: JSONResponse(answer))])
    return Listener(app, bind_unix(folder / f"run/{name}.sock"))

door = web.application([Route("/", lambda request: PlainTextResponse("no", status_code=404))])
listening = bind_tcp("127.0.0.1", 0)
tls = Listener(door, listening, folder / "state/mesh/tls.crt", folder / "state/mesh/tls.key")
(folder / "port").write_text(str(listening.getsockname()[1]))
asyncio.run(serve([*map(service, ("engine", "rag", "mesh", "gateway")), tls]))
"""


@dataclass
class Node:
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "GONI_RUN": str(self.folder / "run"),
            "GONI_STATE": str(self.folder / "state"),
        }

    def start(self, sick: str = "") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVICES, str(self.folder), sick], env=self.environment
        )
        deadline = time.monotonic() + 30
        while not (self.folder / "run/gateway.sock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    def health(self, *arguments: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        port = (self.folder / "port").read_text() if (self.folder / "port").exists() else "1"
        return subprocess.run(
            [
                *(sys.executable, "-m", "goni_update.health"),
                *("--port", port, "--timeout", str(timeout)),
                *arguments,
            ],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kept(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / "state/update/health.json").read_text())
        return value


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    for name in ("run", "state/mesh", "bin"):
        (tmp_path / name).mkdir(parents=True)
    # The one part that a checkout has not: a system manager.
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho '[]'\n")
    (tmp_path / "bin/systemctl").chmod(0o755)
    made = Node(tmp_path)
    subprocess.run(
        [sys.executable, "-m", "goni_mesh", "identity"],
        env=made.environment,
        check=True,
        capture_output=True,
    )
    yield made


def test_node_that_is_well_passes_and_the_result_is_kept(node: Node) -> None:
    services = node.start()
    try:
        done = node.health("--json")
    finally:
        services.terminate()
        services.wait(20)
    assert done.returncode == 0, done.stdout
    answer = json.loads(done.stdout)
    assert answer["ok"] is True
    assert [check["name"] for check in answer["checks"]] == [
        "engine",
        "documents",
        "gateway",
        "household",
        "front door",
        "units",
        "disk",
        "clock",
    ]
    assert node.kept() == answer


def test_one_sick_service_fails_the_node_and_is_named(node: Node) -> None:
    services = node.start(sick="rag")
    try:
        done = node.health(timeout=2)
    finally:
        services.terminate()
        services.wait(20)
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed == ["FAILED  documents: rag is here"]
    assert node.kept()["ok"] is False


def test_node_without_services_fails_in_time_with_a_reason_each(node: Node) -> None:
    started = time.monotonic()
    done = node.health(timeout=1)
    assert time.monotonic() - started < 20
    assert done.returncode == 1
    for name in ("engine", "documents", "gateway", "household", "front door"):
        assert f"FAILED  {name}: " in done.stdout
    assert "Traceback" not in done.stderr
