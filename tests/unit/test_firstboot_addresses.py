"""Addresses out of iproute2's JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goni_core.errors import GoniError
from goni_firstboot import addresses


def listing(*entries: dict[str, Any]) -> bytes:
    return json.dumps([{"ifname": "eth0", "addr_info": list(entries)}, {}]).encode()


def test_ipv4_comes_first_and_each_address_once() -> None:
    found = addresses.parse(
        listing(
            {"family": "inet6", "local": "2001:db8::5", "scope": "global"},
            {"family": "inet", "local": "192.168.1.7", "scope": "global"},
            {"family": "inet", "local": "192.168.1.7", "scope": "global"},
            {"family": "inet", "local": "10.0.2.15", "scope": "global"},
        )
    )
    assert found == ("10.0.2.15", "192.168.1.7", "2001:db8::5")


@pytest.mark.parametrize(
    "entry",
    [
        {"local": "127.0.0.1"},
        {"local": "::1"},
        {"local": "fe80::1"},
        {"local": "169.254.3.4"},
        {"local": "2001:db8::5", "tentative": True},
        {"local": "2001:db8::5", "dadfailed": True},
        {"local": "2001:db8::5", "deprecated": True},
        {"local": "2001:db8::5", "temporary": True},
    ],
)
def test_addresses_that_nobody_could_type_or_reach_are_left_out(entry: dict[str, Any]) -> None:
    assert addresses.parse(listing(entry)) == ()


@pytest.mark.parametrize("garbage", [b"{", b"7", b'["x"]', b'[{"addr_info": [{"local": "x"}]}]'])
def test_anything_else_is_an_error_not_a_crash(garbage: bytes) -> None:
    with pytest.raises(GoniError):
        addresses.parse(garbage)


def test_no_interface_is_no_address() -> None:
    assert addresses.parse(b"") == ()
    assert addresses.parse(b"[]") == ()


def test_screen_shows_no_more_than_it_has_room_for() -> None:
    many = [{"local": f"10.0.0.{number}"} for number in range(1, 100)]
    assert len(addresses.parse(listing(*many))) == addresses.MOST


def test_ipv6_is_bracketed_in_a_url() -> None:
    assert addresses.url("2001:db8::5") == "https://[2001:db8::5]/"
    assert addresses.url("10.0.2.15") == "https://10.0.2.15/"
