"""Announcements: what one says, what a forged one can do, and how many are kept."""

from __future__ import annotations

import dataclasses
import secrets

import pytest

from goni_core.contract import Nearby
from goni_mesh import discovery
from goni_mesh.discovery import Announcement, Discovery
from goni_mesh.peers import Address, parse, shown

HOME = "ab" * 32
ME = Announcement("11" * 32, "member", HOME, "0.1.0", 7475, 7476)
FRIEND = dataclasses.replace(ME, node="22" * 32)


def near(said: Announcement, address: str = "192.0.2.1") -> Nearby:
    found = discovery.parse(said.properties(), said.port, [address])
    assert found is not None
    return found


class Heard:
    """A node that notes what it is told."""

    def __init__(self) -> None:
        self.addresses: list[tuple[str, Address]] = []
        self.gone: list[str] = []
        self.discovery = Discovery(
            lambda: ME, lambda node, at: self.addresses.append((node, at)), self.gone.append
        )


def test_an_announcement_says_what_a_node_is() -> None:
    assert near(FRIEND).id == FRIEND.node
    assert near(FRIEND).pairing_port == 7476
    assert HOME not in "".join(FRIEND.properties().values())


def test_two_nodes_of_a_household_show_different_hints() -> None:
    assert near(ME).hint != near(FRIEND).hint
    assert near(dataclasses.replace(ME, household="")).hint == ""


@pytest.mark.parametrize(
    "damage",
    [
        {"id": "22" * 31},
        {"id": "ZZ" * 32},
        {"state": "king"},
        {"state": ""},
        {"pairing": "99999"},
        {"pairing": "-1"},
        {"pairing": ""},
        {"version": "x" * 41},
        {"version": "<script>"},
    ],
)
def test_what_is_no_announcement_is_not_kept(damage: dict[str, str]) -> None:
    assert discovery.parse({**FRIEND.properties(), **damage}, 7475, ["192.0.2.1"]) is None


def test_an_announcement_without_address_or_port_is_not_kept() -> None:
    assert discovery.parse(FRIEND.properties(), 0, ["192.0.2.1"]) is None
    assert discovery.parse(FRIEND.properties(), 7475, []) is None
    many = [f"192.0.2.{number}" for number in range(100)]
    found = discovery.parse(FRIEND.properties(), 7475, many)
    assert found is not None
    assert len(found.addresses) == discovery.MOST_ADDRESSES


def test_only_the_households_own_are_tried() -> None:
    heard = Heard()
    heard.discovery._take("friend", near(FRIEND))
    heard.discovery._take("other", near(dataclasses.replace(FRIEND, household="cd" * 32)))
    heard.discovery._take("none", near(dataclasses.replace(FRIEND, household="", state="alone")))
    assert heard.addresses == [(FRIEND.node, ("192.0.2.1", 7475))]
    for name in ("friend", "other", "never"):
        heard.discovery._gone(name)
    assert heard.gone == [FRIEND.node]


def test_a_flood_of_strangers_is_bounded_and_hides_no_friend() -> None:
    heard = Heard()
    for number in range(2000):
        stranger = dataclasses.replace(FRIEND, node=secrets.token_hex(32), household="cd" * 32)
        heard.discovery._take(f"stranger {number}", near(stranger))
    heard.discovery._take("friend", near(FRIEND))
    kept = heard.discovery.nearby()
    assert len(kept) == discovery.MOST
    assert FRIEND.node in {one.id for one in kept}


def test_this_node_is_not_near_itself() -> None:
    heard = Heard()
    heard.discovery._take("me", near(ME))
    assert heard.discovery.nearby() == []


@pytest.mark.parametrize("address", [("192.0.2.1", 1), ("fe80::1%eth0", 65535), ("host", 7475)])
def test_an_address_is_read_back_as_it_was_written(address: Address) -> None:
    assert parse(shown(address)) == address


@pytest.mark.parametrize("text", ["", "host", ":1", "host:0", "host:65536", "host:x", 5, None])
def test_what_is_no_address_is_none(text: object) -> None:
    assert parse(text) is None
