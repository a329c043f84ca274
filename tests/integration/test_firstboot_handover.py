"""The wizard and the gateway as systemd runs them: two processes, one listening socket that a
third (here the test) holds, a PIN read off the screen.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.firstboot_node import Node, running

FORM = {
    "node_name": "kitchen",
    "owner_name": "Ada",
    "password": "correct horse",
    "password_again": "correct horse",
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as made:
        yield made


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
