"""Two whole nodes, gateway and mesh each: accounts made on one count on the other, and the owner
lets nodes in and out.
"""

from __future__ import annotations

import hashlib
import plistlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration import mesh_node, whole_nodes
from tests.integration.gateway_node import MEMBER_PASSWORD, OWNER
from tests.integration.mesh_node import eventually
from tests.integration.whole_nodes import Whole, found, join


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Whole]]:
    with whole_nodes.running(tmp_path) as made:
        yield made


def test_people_of_the_household_sign_in_on_each_of_its_nodes(two: list[Whole]) -> None:
    first, second = two
    found(first)
    join(first, second)
    # No owner is asked for: the household has one.
    done = second.gateway.control("POST", "/setup", json={"node_name": "attic"})
    assert done.status_code == 201, done.text
    second.trust()
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


def test_an_owner_lets_a_node_in_and_out_and_a_member_only_looks(two: list[Whole]) -> None:
    first, second = two
    found(first)
    owner, member = first.gateway.signed_in(), first.gateway.joined("Grace")
    shown = owner.get("/api/nodes").json()
    assert [one["name"] for one in shown["nodes"]] == ["kitchen"]
    assert shown["household"] == "Home"
    assert len(shown["fingerprint"].split(":")) == 32
    assert shown["waiting"] == []

    pin = second.mesh.ask("POST", "/offer", status=201)["pin"]
    eventually(lambda: mesh_node.reachable("127.0.0.1", second.mesh.pairing))
    body = {"address": f"127.0.0.1:{second.mesh.pairing}", "pin": pin, "name": "attic"}
    whole = {**body, "password": OWNER["password"]}
    wrong = owner.post("/api/nodes", json={**body, "password": "not the word"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "wrong_password")
    assert member.post("/api/nodes", json=whole).status_code == 403
    key = first.gateway.client(authorization=f"Bearer {first.gateway.a_key()}")
    assert key.post("/api/nodes", json=whole).status_code == 401
    added = owner.post("/api/nodes", json=whole)
    assert added.status_code == 201, added.text
    assert second.mesh.ask("GET", "/status")["words"] == added.json()["words"]
    eventually(lambda: first.mesh.sees(second.mesh))
    seen = member.get("/api/nodes").json()
    assert "waiting" not in seen
    assert {one["name"]: one["here"] for one in seen["nodes"]} == {"kitchen": True, "attic": True}

    path = f"/api/nodes/{second.mesh.id}/remove"
    confirmed = {"name": "attic", "password": OWNER["password"]}
    assert member.post(path, json=confirmed).status_code == 403
    assert owner.post(path, json={**confirmed, "name": "kitchen"}).status_code == 400
    assert owner.post(path, json={**confirmed, "password": "not the word"}).status_code == 403
    assert owner.post("/api/nodes/nobody/remove", json=confirmed).status_code in (400, 404)
    assert owner.post(path, json=confirmed).status_code == 200
    assert len(owner.get("/api/nodes").json()["nodes"]) == 1
    eventually(lambda: not second.mesh.sees(first.mesh))
    assert not first.mesh.sees(second.mesh)


def test_a_node_that_was_set_up_joins_leaves_and_joins_again(two: list[Whole]) -> None:
    first, second = two
    found(first)
    second.gateway.set_up()
    browser = second.gateway.signed_in()
    owner = first.gateway.signed_in()
    pin = browser.post("/api/household/offer").json()["pin"]
    assert browser.get("/api/nodes").json()["offer"]["pin"] == pin
    eventually(lambda: mesh_node.reachable("127.0.0.1", second.mesh.pairing))
    body = {"address": f"127.0.0.1:{second.mesh.pairing}", "pin": pin, "name": "attic"}
    assert owner.post("/api/nodes", json={**body, "password": OWNER["password"]}).status_code == 201
    # Nobody of its own comes into the household; its owner had the same name and is told apart.
    eventually(lambda: len(owner.get("/api/nodes").json()["nodes"]) == 2)
    time.sleep(5)  # more than two looks at the accounts
    people = [one["name"] for one in owner.get("/api/people").json()["people"]]
    assert people == [OWNER["name"]]
    before = second.mesh.id
    second.trust()
    browser = second.gateway.signed_in()
    assert browser.post("/api/household/leave", json={"name": "Other"}).status_code == 400
    assert browser.post("/api/household/leave", json={"name": "Home"}).status_code == 200
    assert second.mesh.ask("GET", "/status")["state"] == "alone"
    assert second.mesh.id != before


def test_guessing_the_households_word_is_slowed_down(two: list[Whole]) -> None:
    first, _ = two
    found(first)
    owner = first.gateway.signed_in()
    asked = {"name": "x", "password": "not the word"}
    said = [owner.post("/api/nodes/invitation", json=asked).status_code for _ in range(8)]
    assert said[0] == 403
    assert said[-1] == 429


def test_port_80_hands_out_the_certificate_and_nothing_else(two: list[Whole]) -> None:
    first, _ = two
    plain = httpx.Client(base_url=f"http://127.0.0.1:{first.plain}", timeout=30)
    with plain:
        alone = plain.get("/")
        assert "belongs to no household" in alone.text
        assert plain.get("/goni.crt").status_code == 404
        found(first)
        root = first.gateway.trusted.read_text()
        der = ssl.PEM_cert_to_DER_cert(root)
        shown = hashlib.sha256(der).digest().hex(":").upper()
        page = plain.get("/")
        assert shown in page.text
        assert f"http://127.0.0.1:{first.plain}" not in page.text
        assert "https://127.0.0.1/" in page.text
        german = plain.get("/", headers={"accept-language": "de-AT,de;q=0.9,en;q=0.5"})
        assert '<html lang="de">' in german.text
        assert first.gateway.signed_in().get("/api/nodes").json()["fingerprint"] == shown
        assert plain.get("/goni.crt").content == der
        assert ssl.PEM_cert_to_DER_cert(plain.get("/goni.pem").text) == der
        profile = plistlib.loads(plain.get("/goni.mobileconfig").content)
        assert profile["PayloadContent"][0]["PayloadContent"] == der
        for path in ("/sign-in", "/api/nodes", "/v1/models", "/static/goni.css", "/../etc/passwd"):
            assert plain.get(path).status_code == 404
        for method in ("POST", "PUT", "DELETE"):
            assert plain.request(method, "/").status_code == 404
        for host in ('"><script>', "a b", "[::1", "x" * 300):
            answer = plain.get("/", headers={"host": host})
            assert answer.status_code in (200, 400)
            assert "script" not in answer.text
