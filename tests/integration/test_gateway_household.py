"""Two whole nodes, gateway and mesh each: accounts made on one count on the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import gateway_node, mesh_node
from tests.integration.gateway_node import MEMBER_PASSWORD, OWNER
from tests.integration.mesh_node import eventually


class Whole:
    """A node's gateway and mesh, over the same sockets and state."""

    def __init__(self, folder: Path) -> None:
        self.mesh = mesh_node.Node(folder)
        self.gateway = gateway_node.Node(folder)
        self.gateway.start()

    def stop(self) -> None:
        if self.gateway.process is not None:
            self.gateway.stop()
        if self.mesh.process.poll() is None:
            self.mesh.end()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Whole]]:
    with contextlib.ExitStack() as ending:
        made = []
        for name in ("kitchen", "attic"):
            node = Whole(tmp_path / name)
            ending.callback(node.stop)
            made.append(node)
        yield made


def found(node: Whole) -> None:
    """Begin a household with this node and its owner."""
    body = {"name": "Home", "node_name": "kitchen", "password": OWNER["password"]}
    node.mesh.ask("POST", "/household", body, 201)
    node.gateway.set_up()


def join(first: Whole, second: Whole) -> None:
    pin = second.mesh.ask("POST", "/offer", {"pin": "012345"}, 201)["pin"]
    assert pin == "012345"
    eventually(lambda: mesh_node.reachable("127.0.0.1", second.mesh.pairing))
    # The owner's account reaches the roster within a beat.
    eventually(lambda: any(one["name"].startswith("person/") for one in fields(first)))
    body = {"address": f"127.0.0.1:{second.mesh.pairing}", "pin": pin, "name": "attic"}
    words = first.mesh.ask("POST", "/pair", {**body, "password": OWNER["password"]})["words"]
    assert second.mesh.ask("GET", "/status")["words"] == words


def fields(node: Whole) -> list[dict]:
    return node.mesh.ask("GET", "/fields")["fields"]


def test_people_of_the_household_sign_in_on_each_of_its_nodes(two: list[Whole]) -> None:
    first, second = two
    found(first)
    join(first, second)
    # No owner is asked for: the household has one.
    done = second.gateway.control("POST", "/setup", json={"node_name": "attic"})
    assert done.status_code == 201, done.text
    owner = second.gateway.signed_in()
    assert owner.get("/api/me").json()["node_name"] == "attic"

    # Made on the second, she comes in on the first; a new password on the first counts on both.
    grace = second.gateway.joined("Grace")
    browser = first.gateway.client(**{"sec-fetch-site": "same-origin"})
    word = {"name": "Grace", "password": MEMBER_PASSWORD}
    eventually(lambda: browser.post("/api/sign-in", json=word).status_code == 200)
    new = {"old": MEMBER_PASSWORD, "new": "another word of hers"}
    assert browser.post("/api/password", json=new).status_code == 200
    eventually(lambda: grace.get("/api/me").status_code == 401)

    # The owner's new password is the word for the household too.
    changed = {"old": OWNER["password"], "new": "a longer battery"}
    assert owner.post("/api/password", json=changed).status_code == 200
    eventually(lambda: opens(first, "a longer battery"))
    assert not opens(first, OWNER["password"])
    for node in two:
        log = node.gateway.log.read_text() + node.mesh.log
        assert "Traceback" not in log
        for secret in (MEMBER_PASSWORD, "another word of hers", "battery", "argon2id"):
            assert secret not in log


def opens(node: Whole, password: str) -> bool:
    answer = node.mesh.http.post("/invite", json={"name": "x", "password": password})
    node.mesh.ask("DELETE", "/invite")
    return answer.status_code == 201


def test_a_member_shows_the_pin_and_the_new_node_types_it(two: list[Whole]) -> None:
    first, second = two
    found(first)
    asked = {"name": "attic", "password": OWNER["password"], "short": True}
    code = first.mesh.ask("POST", "/invite", asked, 201)["code"]
    assert len(code) == 6
    status = first.mesh.ask("GET", "/status")
    assert status["inviting"]
    assert status["offer"] is None
    eventually(lambda: mesh_node.reachable("127.0.0.1", first.mesh.pairing))
    address = f"127.0.0.1:{first.mesh.pairing}"
    wrong = f"{(int(code) + 1) % 10**6:06}"
    second.mesh.ask("POST", "/join", {"address": address, "code": wrong}, 403)
    said = second.mesh.http.post("/join", json={"address": address, "code": code})
    assert said.status_code == 429
    eventually(lambda: joins(second, address, code))
    assert second.mesh.ask("GET", "/status")["words"] == first.mesh.ask("GET", "/status")["words"]
    assert not first.mesh.ask("GET", "/status")["inviting"]


def joins(node: Whole, address: str, code: str) -> bool:
    body = {"address": address, "code": code}
    return node.mesh.http.post("/join", json=body).status_code == 200
