"""The wizard and the household: a node is taken in with only its PIN typed, joins by a code, or
begins a household of its own; every part runs as on a node, in processes of its own.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import setup_walk
from tests.integration import firstboot_node, mesh_node, whole_nodes
from tests.integration.firstboot_node import Node
from tests.integration.gateway_node import OWNER
from tests.integration.mesh_node import eventually
from tests.integration.whole_nodes import Whole


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Whole]:
    """A node that began a household."""
    made = Whole(tmp_path / "kitchen")
    try:
        whole_nodes.found(made)
        yield made
    finally:
        made.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[Node, mesh_node.Node]]:
    """A node at its first start: wizard, gateway and mesh."""
    with firstboot_node.running(tmp_path / "attic") as node:
        mesh = mesh_node.Node(tmp_path / "attic")
        try:
            node.gateway()
            node.wizard()
            yield node, mesh
        finally:
            mesh.end()


def posting(browser: httpx.Client, node: Node) -> setup_walk.Post:
    return lambda path, form: browser.post(path, data=form, headers={"Origin": node.url})


def shows_certificate_of(root: Path, node: Node) -> bool:
    """Whether a browser that trusts this household's root, and nothing else, finds the page."""
    trusted = ssl.create_default_context(cafile=root)
    address = node.listening.getsockname()[:2]
    try:
        with (
            socket.create_connection(address, timeout=30) as plain,
            trusted.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            return True
    except (ssl.SSLCertVerificationError, ConnectionError):
        return False


def test_a_node_is_taken_in_with_only_its_pin_typed(
    first: Whole, fresh: tuple[Node, mesh_node.Node]
) -> None:
    node, mesh = fresh
    pin = node.pin()
    eventually(lambda: mesh_node.reachable("127.0.0.1", mesh.pairing))
    asked = {"address": f"127.0.0.1:{mesh.pairing}", "pin": pin, "name": "Attic 1"}
    owner = first.gateway.signed_in()
    added = owner.post("/api/nodes", json={**asked, "password": OWNER["password"]}, timeout=120)
    assert added.status_code == 201, added.text
    # Nobody touches the new node: its wizard ends, and it is the household's.
    assert node.started[-1].wait(120) == 0
    assert (node.folder / "state/firstboot/hostname").read_text() == "attic-1\n"
    assert added.json()["words"] in node.screen.read_text()
    eventually(lambda: shows_certificate_of(first.gateway.trusted, node))
    trusted = ssl.create_default_context(cafile=first.gateway.trusted)
    site = {"sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=node.url, verify=trusted, timeout=60, headers=site) as browser:
        assert browser.post("/api/sign-in", json=OWNER).status_code == 200
        shown = browser.get("/api/nodes").json()
        assert {one["name"] for one in shown["nodes"]} == {"kitchen", "Attic 1"}
    for log in (node.log("goni_firstboot"), node.log("goni_gateway"), mesh.log):
        assert pin not in log
        assert "Traceback" not in log


def test_a_code_that_a_member_made_is_typed_in_the_wizard(
    first: Whole, fresh: tuple[Node, mesh_node.Node]
) -> None:
    node, mesh = fresh
    asked = {"name": "attic", "password": OWNER["password"], "short": True}
    owner = first.gateway.signed_in()
    code = owner.post("/api/nodes/invitation", json=asked, timeout=120).json()["code"]
    address = f"127.0.0.1:{first.mesh.pairing}"
    eventually(lambda: mesh_node.reachable("127.0.0.1", first.mesh.pairing))
    with node.browser() as browser:
        browser.timeout = httpx.Timeout(120)
        post = posting(browser, node)
        setup_walk.type_pin(post, node.pin())
        setup_walk.answer(post, "language", "name", "network")
        waiting = post("/setup/household", {"action": "join"})
        assert node.pin()[:3] in waiting.text
        wrong = {"action": "code", "address": address, "code": "ABCD-EFGH-JKLM-NPQR"}
        assert post("/setup/household", wrong).status_code == 400
        right = {**wrong, "code": code}
        done = post("/setup/household", right)
        assert "kitchen is yours" in done.text
        words = first.mesh.ask("GET", "/status")["words"]
        assert words in done.text
    assert mesh.ask("GET", "/status")["state"] == "member"
    eventually(lambda: shows_certificate_of(first.gateway.trusted, node))


def test_a_new_household_is_begun_with_the_owners_password(
    fresh: tuple[Node, mesh_node.Node], tmp_path: Path
) -> None:
    node, mesh = fresh
    with node.browser() as browser:
        browser.timeout = httpx.Timeout(120)
        post = posting(browser, node)
        setup_walk.type_pin(post, node.pin())
        setup_walk.answer(post, "language", "name", "network")
        assert post("/setup/household", {"household": " "}).status_code == 400
        assert post("/setup/household", {"household": "Our  home"}).status_code == 303
        setup_walk.answer(post, "owner", "model")
        assert mesh.ask("GET", "/status")["household"] == "Our home"
        sheet = browser.get("/setup/recovery").text
        code = re.findall(r"<span>([A-Z2-9]{4})</span>", sheet)
        assert len(code) == 8
        assert post("/setup/recovery", {"last": "ABCD"}).status_code == 400
        assert post("/setup/recovery", {"last": code[-1].lower()}).status_code == 303
        setup_walk.finish(post)
    root = tmp_path / "root.pem"
    root.write_text(mesh.ask("GET", "/authority")["certificate"])
    eventually(lambda: shows_certificate_of(root, node))
    # The owner's account is in the roster, for the nodes to come; the code is in no log.
    eventually(lambda: "person/" in str(mesh.ask("GET", "/fields")))
    for log in (node.log("goni_firstboot"), node.log("goni_gateway"), mesh.log):
        assert code[3] not in log
        assert setup_walk.PASSWORD not in log
    # The recovery key opens: nobody else's would.
    bad = {"node": mesh.id, "recovery": "-".join(["ABCD"] * 8)}
    assert mesh.ask("POST", "/remove", bad, 400)["error"]["code"] == "wrong_recovery"


def test_a_household_whose_code_nobody_saw_is_begun_anew(
    fresh: tuple[Node, mesh_node.Node],
) -> None:
    node, mesh = fresh
    with node.browser() as browser:
        browser.timeout = httpx.Timeout(120)
        post = posting(browser, node)
        setup_walk.type_pin(post, node.pin())
        setup_walk.answer(post, "language", "name", "network")
        post("/setup/household", {"household": "Home"})
        setup_walk.answer(post, "owner")
    before = mesh.ask("GET", "/fields")["household"]
    # The power fails before the code was written down.
    node.started[-1].kill()
    node.started.pop().wait(20)
    node.screen.unlink()
    node.wizard()
    pin = node.pin()
    # The page has the household's certificate by now.
    root = node.folder / "root.pem"
    root.write_text(mesh.ask("GET", "/authority")["certificate"])
    trusted = ssl.create_default_context(cafile=root)
    with httpx.Client(base_url=node.url, verify=trusted, timeout=120) as browser:
        post = posting(browser, node)
        setup_walk.type_pin(post, pin)
        assert browser.get("/setup").headers["location"] == "/setup/owner"
        setup_walk.answer(post, "owner")
        assert mesh.ask("GET", "/fields")["household"] != before
        setup_walk.answer(post, "model", "recovery")
        setup_walk.finish(post)
    assert mesh.ask("GET", "/status")["state"] == "member"
