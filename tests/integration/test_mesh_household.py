"""Nodes as processes on one machine: they pair, agree, split, heal, and refuse who was removed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mesh_node import PASSWORD, Node, eventually, nodes, reachable


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Node]]:
    with nodes(tmp_path, 3) as made:
        yield made


def test_a_household_from_its_first_node_to_a_stolen_one(three: list[Node]) -> None:
    first, second, third = three
    assert first.ask("GET", "/status")["state"] == "alone"
    assert not reachable("127.0.0.1", first.port)
    assert not reachable("127.0.0.1", first.pairing)
    first.found()

    paired = first.pair(second, "second")
    assert paired["node"] == second.id
    assert second.ask("GET", "/status")["offer"]["words"] == paired["words"]
    eventually(lambda: not reachable("127.0.0.1", second.pairing))

    # Any member lets in another, here by invitation.
    second.ask("GET", "/status")
    invited = second.ask("POST", "/invite", {"name": "third", "password": PASSWORD}, 201)
    eventually(lambda: reachable("127.0.0.1", second.pairing))
    address = f"127.0.0.1:{second.pairing}"
    third.ask("POST", "/join", {"address": address, "code": invited["code"].lower()})
    eventually(lambda: first.sees(second, third))
    eventually(lambda: second.sees(first, third))
    eventually(lambda: third.sees(first, second))
    assert {one["name"] for one in first.peers().values()} == {"second", "third"}
    eventually(lambda: not reachable("127.0.0.1", second.pairing))

    third.write("setting/language", "de")
    assert eventually(lambda: first.field("setting/language") == ("de", [])) < 5

    # A stolen node: refused by all who can be reached, and by the rest when they come back.
    second.end(signal.SIGKILL)
    first.ask("POST", "/remove", {"node": "third", "password": PASSWORD})
    eventually(first.sees)
    eventually(third.sees)
    second.start()
    eventually(lambda: second.sees(first))
    eventually(lambda: first.sees(second))
    assert second.field("setting/language") == ("de", [])
    # It may have learned of its removal; if not, what it writes stays with it.
    third.http.put("/fields/setting/language", json={"value": "mine"})
    assert not first.sees(third)
    assert not second.sees(first, third)
    assert first.field("setting/language") == ("de", [])

    # It comes back as a new node only.
    third.ask("POST", "/leave", {})
    first.pair(third, "third again")
    eventually(lambda: third.sees(first, second))


def test_a_split_heals_and_no_edit_is_lost(three: list[Node]) -> None:
    first, second, third = three
    first.found()
    first.pair(second)
    first.pair(third)
    eventually(lambda: third.sees(first, second))
    # A frozen node is cut off as by a split: its edits before and after meet the others'.
    third.ask("GET", "/status")
    first.end(signal.SIGKILL)
    second.end(signal.SIGKILL)
    third.write("setting/language", "de")
    third.write("setting/zone", "UTC")
    third.end(signal.SIGKILL)
    first.start()
    first.write("setting/language", "en")
    second.start()
    eventually(lambda: second.field("setting/language") == ("en", []))
    third.start()
    for node in three:
        eventually(lambda node=node: node.field("setting/zone") == ("UTC", []))
        eventually(lambda node=node: len(node.field("setting/language")[1]) == 1)
    shown = {str(node.field("setting/language")) for node in three}
    assert len(shown) == 1
    value, beside = first.field("setting/language")
    assert {value, *beside} == {"de", "en"}
    second.write("setting/language", "fr")
    for node in three:
        eventually(lambda node=node: node.field("setting/language") == ("fr", []))


def test_the_command_does_the_same(three: list[Node]) -> None:
    first, second, _ = three
    word = f"{PASSWORD}\n"
    assert len(first.command("found", "Home", "--node-name", "first", typed=word)["recovery"]) == 39
    pin = second.command("offer")["pin"]
    eventually(lambda: reachable("127.0.0.1", second.pairing))
    address = f"127.0.0.1:{second.pairing}"
    paired = first.command("pair", address, "--name", "second", typed=f"{pin}\n{word}")
    assert second.command("status")["state"] == "member"
    eventually(lambda: first.command("peers")["peers"][0]["here"])
    first.command("remove", paired["node"][:12], typed=word)
    assert first.command("peers")["peers"] == []
    assert first.command("status")["nodes"] == 1


def test_nothing_changes_without_the_owners_word(three: list[Node]) -> None:
    first, second, _ = three
    first.found()
    shown = second.ask("POST", "/offer", status=201)
    address = f"127.0.0.1:{second.pairing}"
    body = {"address": address, "pin": shown["pin"], "name": "x", "password": "wrong password"}
    assert first.ask("POST", "/pair", body, 403)["error"]["code"] == "wrong_password"
    first.ask("POST", "/invite", {"name": "x", "password": "wrong password"}, 403)
    first.ask("POST", "/remove", {"node": first.id, "password": "wrong password"}, 403)
    assert first.ask("GET", "/status")["nodes"] == 1
    for held in (first.log, second.log):
        assert PASSWORD not in held
        assert shown["pin"] not in held


def test_a_mistyped_pin_waits_and_then_locks(three: list[Node]) -> None:
    first, second, _ = three
    first.found()
    shown = second.ask("POST", "/offer", status=201)
    eventually(lambda: reachable("127.0.0.1", second.pairing))
    wrong = f"{(int(shown['pin']) + 1) % 10**6:06}"
    body = {"address": f"127.0.0.1:{second.pairing}", "name": "x", "password": PASSWORD}
    said = first.ask("POST", "/pair", {**body, "pin": wrong}, 403)["error"]
    assert said["code"] == "wrong_code"
    said = first.ask("POST", "/pair", {**body, "pin": wrong}, 429)["error"]
    assert "wait" in said["message"]
    assert second.ask("GET", "/status")["offer"]["tries"] == 4
    second.ask("DELETE", "/offer")
    eventually(lambda: not reachable("127.0.0.1", second.pairing))
