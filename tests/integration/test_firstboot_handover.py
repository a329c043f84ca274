"""The wizard and the gateway as systemd runs them: two processes, one listening socket that a
third (here the test) holds, a PIN read off the screen.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import setup_walk
from tests.integration.firstboot_node import Node, running, wait_until


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as made:
        yield made


def posting(browser: httpx.Client, node: Node) -> setup_walk.Post:
    return lambda path, form: browser.post(path, data=form, headers={"Origin": node.url})


def test_owner_is_made_and_the_same_socket_goes_on_answering(
    node: Node, record_property: Callable[[str, object], None]
) -> None:
    node.gateway()
    wizard = node.wizard()
    pin = node.pin()
    with node.browser() as browser:
        setup_walk.walk(posting(browser, node), pin)
        delivered = time.monotonic()
    with node.browser() as browser:
        later = browser.get("/v1/models", follow_redirects=True)
        answered = time.monotonic()
    # No connection was refused in between, and it is the gateway that answers now.
    assert later.status_code == 401
    assert later.json()["error"]["code"]
    # Seconds on an idle machine are below 2; here another test may hold the processor.
    record_property("handover_seconds", round(answered - delivered, 2))
    assert answered - delivered < 30.0
    assert wizard.wait(60) == 0
    assert (node.folder / "state/firstboot/hostname").read_text() == "kitchen\n"
    shown = node.screen.read_text()
    assert "This node is set up" in shown
    assert "https://kitchen.local/" in shown
    for output in (shown, node.log("goni_firstboot"), node.log("goni_gateway")):
        assert pin not in output
        assert f"{pin[:3]} {pin[3:]}" not in output
        assert setup_walk.PASSWORD not in output


def test_browser_that_holds_its_connection_does_not_hold_up_the_handover(node: Node) -> None:
    node.gateway()
    wizard = node.wizard()
    with node.browser() as browser, socket.create_connection(node.listening.getsockname()[:2]):
        setup_walk.walk(posting(browser, node), node.pin())
        ended = time.monotonic()
        assert wizard.wait(60) == 0
        # An idle connection is kept for 30 s otherwise.
        assert time.monotonic() - ended < 25.0


def test_wizard_ends_at_once_on_a_node_that_is_set_up(node: Node) -> None:
    node.gateway()
    first = node.wizard()
    with node.browser() as browser:
        setup_walk.walk(posting(browser, node), node.pin())
    assert first.wait(60) == 0
    (node.folder / "state/firstboot/hostname").unlink()
    node.screen.unlink()
    again = node.wizard()
    assert again.wait(60) == 0
    # No PIN was made, and the name that a power cut may have lost is back.
    assert not node.screen.exists()
    assert (node.folder / "state/firstboot/hostname").read_text() == "kitchen\n"


def test_each_start_has_a_new_pin(node: Node) -> None:
    node.gateway()
    wizard = node.wizard()
    first = node.pin()
    wizard.terminate()
    assert wizard.wait(60) == 0
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
        setup_walk.type_pin(posting(browser, node), node.pin())


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


def test_screen_says_afterwards_how_the_node_is(node: Node) -> None:
    node.gateway()
    wizard = node.wizard()
    with node.browser() as browser:
        setup_walk.walk(posting(browser, node), node.pin())
    assert wizard.wait(60) == 0
    node.screen.unlink()
    argv = [sys.executable, "-m", "goni_firstboot", "screen", "--screen", str(node.screen)]
    screen = subprocess.Popen(argv, env=node.environment)
    node.started.append(screen)
    # No engine runs here, and the screen says so.
    wait_until(lambda: "the engine does not answer" in read(node.screen), 120)
    shown = node.screen.read_text()
    assert "This node is set up" in shown
    assert "PIN" not in shown
    screen.terminate()
    assert screen.wait(60) == 0


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
