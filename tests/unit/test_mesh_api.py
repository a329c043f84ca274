"""mesh.sock's routes over a real household, without its network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from goni_mesh import api, secret
from goni_mesh.household import Household
from goni_mesh.loads import Loads
from goni_mesh.pairing import Pairing
from goni_mesh.peers import Peers
from tests import family

PASSWORD = "correct horse battery"
Ask = Callable[..., httpx.Response]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Household]:
    # What scrypt costs is another test's business.
    monkeypatch.setattr(secret, "WORK", 2)
    made = Household(tmp_path)
    yield made
    made.close()


@pytest.fixture
def ask(node: Household) -> Ask:
    peers = Peers(node, 7475, lambda: datetime.now(UTC), Loads())
    mesh = api.Mesh(node, peers, Pairing(node, 7475), 7476, lambda: None, lambda: [])
    transport = httpx.ASGITransport(api.application(mesh))

    def asked(method: str, path: str, body: object = None) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://mesh") as client:
                return await client.request(method, path, json=body)

        return asyncio.run(once())

    return asked


def found(ask: Ask) -> None:
    body = {"name": "Home", "node_name": "kitchen", "password": PASSWORD}
    assert ask("POST", "/household", body).status_code == 201


def test_a_name_that_two_nodes_have_names_neither(ask: Ask, node: Household) -> None:
    found(ask)
    opened = asyncio.run(node.open(PASSWORD))
    for number in (1, 2):
        node.admit(family.key(number).public, "attic", opened)
    said = ask("POST", "/remove", {"node": "attic", "password": PASSWORD})
    assert said.status_code == 400
    assert len(node.joined().members.standing) == 3
    by_id = {"node": family.key(1).id, "password": PASSWORD}
    assert ask("POST", "/remove", by_id).status_code == 200
    # One of them is left, whom the name now means.
    assert ask("POST", "/remove", {"node": "attic", "password": PASSWORD}).status_code == 200
    assert len(node.joined().members.standing) == 1


@pytest.mark.parametrize(
    "pin", ["12345", "1234567", "12345a", "１２３４５６", 123456, ["123456"], ""]
)
def test_an_offer_is_by_six_digits(ask: Ask, pin: object) -> None:
    assert ask("POST", "/offer", {"pin": pin}).status_code == (201 if pin == "" else 400)


def test_an_offer_with_a_pin_of_its_own_is_shown_and_ends_when_taken_back(ask: Ask) -> None:
    assert ask("POST", "/offer", {"pin": "012345"}).json()["pin"] == "012345"
    assert ask("GET", "/status").json()["offer"]["pin"] == "012345"
    assert ask("DELETE", "/offer").status_code == 200
    assert ask("GET", "/status").json()["offer"] is None
    ask("POST", "/offer", {"pin": "012345"})
    found(ask)
    assert ask("GET", "/status").json()["offer"] is None
    assert ask("POST", "/offer", {"pin": "012345"}).status_code == 409


def test_a_member_that_shows_a_pin_offers_itself_to_nobody(ask: Ask) -> None:
    found(ask)
    body = {"name": "attic", "password": PASSWORD, "short": True}
    code = ask("POST", "/invite", body).json()["code"]
    assert code.isdigit()
    status = ask("GET", "/status").json()
    assert (status["inviting"], status["offer"]) == (True, None)
    assert code not in str(status)
    ask("DELETE", "/invite")
    assert not ask("GET", "/status").json()["inviting"]
    assert ask("POST", "/invite", {**body, "short": "yes"}).status_code == 400


def test_fields_that_did_not_change_are_not_said_again(ask: Ask) -> None:
    found(ask)
    ask("PUT", "/fields/setting/language", {"value": "de"})
    said = ask("GET", "/fields").json()
    assert [one["value"] for one in said["fields"]] == ["de"]
    again = ask("GET", f"/fields?unlike={said['digest']}").json()
    assert (again["fields"], again["digest"]) == (None, said["digest"])
    ask("PUT", "/fields/setting/language", {"value": "en"})
    assert ask("GET", f"/fields?unlike={said['digest']}").json()["fields"][0]["value"] == "en"


def test_the_password_counts_in_whatever_form_it_is_typed(ask: Ask) -> None:
    # Composed and decomposed, as keyboards differ (RFC 8265).
    body = {"name": "Home", "node_name": "kitchen", "password": "schlüsselbund"}
    assert ask("POST", "/household", body).status_code == 201
    other = {"name": "attic", "password": "schlu\u0308sselbund"}
    assert ask("POST", "/invite", other).status_code == 201
