"""The household's people: invited, signed in, reset, removed, over real TLS."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.integration.gateway_node import MEMBER_PASSWORD, OWNER, Node


@pytest.fixture(scope="module")
def bob(node: Node) -> httpx.Client:
    return node.joined("Bob")


def id_of(owner: httpx.Client, name: str) -> str:
    listed = owner.get("/api/people").json()["people"]
    return str(next(person["id"] for person in listed if person["name"] == name))


def test_an_invited_person_chooses_a_password_and_is_in(
    node: Node, owner: httpx.Client, bob: httpx.Client
) -> None:
    assert bob.get("/api/me").json()["role"] == "member"
    with node.client() as again:
        body = {"name": "bob", "password": MEMBER_PASSWORD}
        assert again.post("/api/sign-in", json=body).status_code == 200


def test_an_invitation_says_whom_it_is_for_and_works_once(node: Node, owner: httpx.Client) -> None:
    made = owner.post("/api/people", json={"name": "Eve"}).json()
    assert made["code"] not in json.dumps(owner.get("/api/people").json())
    with node.client() as eve:
        shown = eve.post("/api/invitation", json={"code": made["code"]}).json()
        assert shown == {"name": "Eve", "new": True}
        body = {"code": made["code"], "password": "short"}
        assert eve.post("/api/join", json=body).status_code == 400
        body["password"] = "long enough now"
        assert eve.post("/api/join", json=body).status_code == 201
        again = eve.post("/api/join", json=body)
        assert again.status_code == 404
        assert again.json()["error"]["code"] == "invitation_invalid"


def test_a_withdrawn_invitation_is_worth_nothing(node: Node, owner: httpx.Client) -> None:
    made = owner.post("/api/people", json={"name": "Mallory"}).json()
    assert owner.delete(f"/api/invitations/{made['id']}").status_code == 200
    with node.client() as client:
        body = {"code": made["code"], "password": "long enough now"}
        assert client.post("/api/join", json=body).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/people"),
        ("POST", "/api/people"),
        ("POST", "/api/people/x/reset"),
        ("POST", "/api/people/x/remove"),
        ("GET", "/api/people/x/sign-ins"),
        ("DELETE", "/api/invitations/x"),
    ],
)
def test_only_the_signed_in_owner_manages_people(
    node: Node, bob: httpx.Client, method: str, path: str
) -> None:
    assert bob.request(method, path, json={"name": "x"}).status_code == 403
    with node.client() as stranger:
        assert stranger.request(method, path, json={"name": "x"}).status_code == 401
    with node.client(authorization=f"Bearer {node.a_key()}") as app:
        assert app.request(method, path, json={"name": "x"}).status_code == 401


def test_sign_ins_are_seen_by_the_person_and_the_owner(
    node: Node, owner: httpx.Client, bob: httpx.Client
) -> None:
    with node.client() as guesser:
        body = {"name": "Bob", "password": "a wrong guess"}
        assert guesser.post("/api/sign-in", json=body).status_code == 401
    own = bob.get("/api/sign-ins").json()["sign_ins"]
    assert own[0] == {"at": own[0]["at"], "address": "127.0.0.1", "succeeded": False}
    assert own[-1]["succeeded"]
    seen = owner.get(f"/api/people/{id_of(owner, 'Bob')}/sign-ins").json()["sign_ins"]
    assert seen == own
    assert owner.get("/api/people/nobody/sign-ins").status_code == 404


def test_a_reset_lets_the_person_choose_anew(node: Node, owner: httpx.Client) -> None:
    carol = node.joined("Carol")
    made = owner.post(f"/api/people/{id_of(owner, 'Carol')}/reset").json()
    assert carol.get("/api/me").status_code == 200
    with node.client() as elsewhere:
        body = {"code": made["code"], "password": "brand new password"}
        assert elsewhere.post("/api/join", json=body).json()["name"] == "Carol"
    assert carol.get("/api/me").status_code == 401
    old = {"name": "Carol", "password": MEMBER_PASSWORD}
    assert carol.post("/api/sign-in", json=old).status_code == 401


def test_a_person_changes_their_password_and_other_browsers_are_out(node: Node) -> None:
    dora = node.joined("Dora")
    with node.client() as other:
        body = {"name": "Dora", "password": MEMBER_PASSWORD}
        assert other.post("/api/sign-in", json=body).status_code == 200
        wrong = {"old": "not this one", "new": "another password"}
        assert dora.post("/api/password", json=wrong).status_code == 403
        right = {"old": MEMBER_PASSWORD, "new": "another password"}
        assert dora.post("/api/password", json=right).status_code == 200
        assert dora.get("/api/me").status_code == 200
        assert other.get("/api/me").status_code == 401


def test_an_owner_is_not_removed_by_a_slip(owner: httpx.Client, bob: httpx.Client) -> None:
    person = id_of(owner, "Bob")
    said = owner.post(f"/api/people/{person}/remove", json={"name": "Somebody"})
    assert said.json()["error"]["code"] == "not_confirmed"
    assert bob.get("/api/me").status_code == 200
    said = owner.post(f"/api/people/{id_of(owner, 'Ada')}/remove", json={"name": OWNER["name"]})
    assert said.status_code == 409


def test_without_the_documents_service_a_removal_locks_out_and_says_so(
    node: Node, owner: httpx.Client
) -> None:
    """The stand-in has no documents: the removal can't be finished, and nobody pretends."""
    frank = node.joined("Frank")
    person = id_of(owner, "Frank")
    said = owner.post(f"/api/people/{person}/remove", json={"name": "frank"})
    assert said.status_code >= 400
    assert frank.get("/api/me").status_code == 401
    listed = owner.get("/api/people").json()["people"]
    assert next(entry for entry in listed if entry["id"] == person)["locked"] is True
