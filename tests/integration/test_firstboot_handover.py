"""The wizard and the gateway as systemd runs them: two processes, one listening socket that a
third (here the test) holds, a PIN read off the screen.
"""

from __future__ import annotations

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
import pytest

INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="https")
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""
FORM = {
    "node_name": "kitchen",
    "owner_name": "Ada",
    "password": "correct horse",
    "password_again": "correct horse",
}


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


def wait_until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    for name in ("run", "state/gateway", "state/mesh", "state/firstboot"):
        (tmp_path / name).mkdir(parents=True)
    made = Node(tmp_path, socket.create_server(("127.0.0.1", 0), backlog=64))
    subprocess.run(
        [sys.executable, "-m", "goni_mesh", "identity"],
        env=made.environment,
        check=True,
        capture_output=True,
    )
    yield made
    for process in made.started:
        process.terminate()
    for process in made.started:
        process.wait(20)
    made.listening.close()


def post(browser: httpx.Client, node: Node, path: str, form: dict[str, str]) -> httpx.Response:
    return browser.post(path, data=form, headers={"Origin": node.url})


def test_owner_is_made_and_the_same_socket_goes_on_answering(node: Node) -> None:
    node.gateway()
    wizard = node.wizard()
    pin = node.pin()
    with node.browser() as browser:
        assert post(browser, node, "/", {"pin": pin}).headers["location"] == "/setup"
        done = post(browser, node, "/setup", FORM)
        assert "kitchen is yours" in done.text
        delivered = time.monotonic()
    with node.browser() as browser:
        later = browser.get("/v1/models", follow_redirects=True)
        answered = time.monotonic()
    # No connection was refused in between, and it is the gateway that answers now.
    assert later.status_code == 401
    assert later.json()["error"]["code"]
    assert answered - delivered < 5.0
    assert wizard.wait(5) == 0
    assert (node.folder / "state/firstboot/hostname").read_text() == "kitchen\n"
    shown = node.screen.read_text()
    assert "This node is set up" in shown
    assert "https://kitchen.local/" in shown
    for output in (shown, node.log("goni_firstboot"), node.log("goni_gateway")):
        assert pin not in output
        assert f"{pin[:3]} {pin[3:]}" not in output
        assert "correct horse" not in output


def test_browser_that_holds_its_connection_does_not_hold_up_the_handover(node: Node) -> None:
    node.gateway()
    wizard = node.wizard()
    with node.browser() as browser, socket.create_connection(node.listening.getsockname()[:2]):
        post(browser, node, "/", {"pin": node.pin()})
        assert post(browser, node, "/setup", FORM).status_code == 200
        ended = time.monotonic()
        assert wizard.wait(10) == 0
        assert time.monotonic() - ended < 5.0


def test_wizard_ends_at_once_on_a_node_that_is_set_up(node: Node) -> None:
    node.gateway()
    first = node.wizard()
    with node.browser() as browser:
        post(browser, node, "/", {"pin": node.pin()})
        post(browser, node, "/setup", FORM)
    assert first.wait(10) == 0
    (node.folder / "state/firstboot/hostname").unlink()
    node.screen.unlink()
    again = node.wizard()
    assert again.wait(20) == 0
    # No PIN was made, and the name that a power cut may have lost is back.
    assert not node.screen.exists()
    assert (node.folder / "state/firstboot/hostname").read_text() == "kitchen\n"


def test_each_start_has_a_new_pin(node: Node) -> None:
    node.gateway()
    wizard = node.wizard()
    first = node.pin()
    wizard.terminate()
    assert wizard.wait(20) == 0
    node.screen.unlink()
    node.wizard()
    # One in a million that they are the same by chance.
    assert node.pin() != first


def test_wizard_waits_for_a_gateway_that_is_still_starting(node: Node) -> None:
    node.wizard()
    time.sleep(1.0)
    assert not node.screen.exists()
    node.gateway()
    with node.browser() as browser:
        assert post(browser, node, "/", {"pin": node.pin()}).status_code == 303


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--listen", "127.0.0.1:0", "--key", "/dev/null"], "can't be used"),
        (["--listen", "192.0.2.1:443"], "can't listen"),
    ],
)
def test_bad_option_is_one_clear_line(node: Node, arguments: list[str], message: str) -> None:
    node.gateway()
    ended = subprocess.run(
        [sys.executable, "-m", "goni_firstboot", "serve", *arguments],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
