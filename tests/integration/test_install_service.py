"""install.sock as its callers find it, and what it does with requests that nobody should send."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goni_core.errors import GoniError
from goni_core.http import Service
from goni_core.run import start, stop
from goni_core.serve import run

AS_ROOT = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
"""goni-install is root's; a namespace of the user's own (unshare(1)) gives it a powerless one."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("run")
    words = [*AS_ROOT, sys.executable, "-m", "goni_install", "serve"]
    process = start(words, env={"GONI_RUN": str(folder)}, output=folder / "log")
    end = time.monotonic() + 120
    while not (folder / "install.sock").exists():
        assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
        time.sleep(0.1)
    yield folder / "install.sock"
    stop(process, patience=60)


def ask(place: Path, method: str, path: str, body: Any = None) -> Any:
    async def once() -> Any:
        service = Service("the disk service", place)
        try:
            return await service.call(method, path, json=body)
        finally:
            await service.close()

    return run(once())


def refused(place: Path, path: str, body: Any) -> GoniError:
    with pytest.raises(GoniError) as caught:
        ask(place, "POST", path, body)
    return caught.value


def test_it_is_well_and_nothing_runs(place: Path) -> None:
    assert ask(place, "GET", "/health")["ok"] is True
    now = ask(place, "GET", "/install")
    assert now["running"] is False and now["finished"] is False


def test_a_machine_that_is_no_goni_is_not_touched(place: Path) -> None:
    with pytest.raises(GoniError, match="not a Goni"):
        ask(place, "GET", "/disks")
    assert "not a Goni" in str(refused(place, "/install", {"disk": "sda", "confirm": "sda"}))


def test_without_an_own_key_there_is_no_recovery_key_to_be_had(place: Path) -> None:
    found = ask(place, "GET", "/recovery")
    assert found["possible"] is False and found["enrolled"] is False and found["words"]
    error = refused(place, "/recovery", {})
    assert (error.status, error.code) == (409, "no_own_key")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"confirm": socket.gethostname()},
        {"confirm": socket.gethostname(), "again": "x"},
        {"confirm": "x", "again": "x"},
        {"confirm": 1, "again": 1},
        {"confirm": socket.gethostname(), "again": socket.gethostname(), "more": 1},
    ],
)
def test_nothing_is_erased_unless_it_was_said_twice(place: Path, body: Any) -> None:
    assert refused(place, "/reset", body).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"disk": 7},
        {"disk": "x" * 101},
        {"disk": "sda", "keep_data": "yes"},
        {"disk": "sda", "erase": True},
        {"disk": "s" * 5000},
    ],
)
def test_a_malformed_request_is_refused(place: Path, body: Any) -> None:
    assert refused(place, "/install", body).status in (400, 413)
