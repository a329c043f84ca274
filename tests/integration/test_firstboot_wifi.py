"""Wireless networks over a real D-Bus, with a service on it that is shaped like iwd."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

from goni_core.errors import BadInput, GoniError, Unavailable
from goni_firstboot import wifi
from tests import iwd
from tests.iwd import Radio

PASSWORD = "swordfish blue"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with iwd.bus(tmp_path_factory.mktemp("bus")) as address:
        yield address


@pytest.fixture
def radio(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Radio]:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    air = {
        "Attic": ("psk", PASSWORD, -8700),
        "Home <b>": ("psk", PASSWORD, -4500),
        "Café": ("open", "", -6500),
        "Office": ("8021x", "", -5000),
    }
    with iwd.running(Radio(air), address) as radio:
        yield radio


def test_networks_are_found_strongest_first(radio: Radio) -> None:
    found = wifi.look(scan=True)
    assert found is not None
    assert [(one.name, one.kind, one.bars) for one in found] == [
        ("Home <b>", "psk", 4),
        ("Office", "8021x", 4),
        ("Café", "open", 3),
        ("Attic", "psk", 1),
    ]
    assert radio.scans == 1


def test_a_scan_that_is_going_on_is_waited_for(radio: Radio) -> None:
    radio.scanning = 3
    assert wifi.look(scan=True)
    assert radio.scanning == 0


def test_password_goes_to_iwd_when_it_asks(radio: Radio) -> None:
    wifi.join("Home <b>", PASSWORD)
    assert radio.joined == "Home <b>"
    assert radio.tried == [("Home <b>", PASSWORD)]
    assert next(one for one in wifi.look() or () if one.connected).name == "Home <b>"
    wifi.join("Home <b>", "")  # it is joined already: nothing is tried again
    assert len(radio.tried) == 1


def test_open_network_needs_no_password(radio: Radio) -> None:
    wifi.join("Café", "")
    assert radio.joined == "Café"


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("Home <b>", "wrong password", "wifi_refused"),
        ("Home <b>", "", "wifi_refused"),
        ("Nowhere", PASSWORD, "wifi_gone"),
        ("Office", PASSWORD, "wifi_unsupported"),
    ],
)
def test_network_that_can_not_be_joined_says_why(
    radio: Radio, name: str, password: str, code: str
) -> None:
    with pytest.raises(BadInput) as error:
        wifi.join(name, password)
    assert error.value.code == code
    assert radio.joined == ""
    assert password not in str(error.value) or not password


def test_node_without_a_radio_has_no_networks(radio: Radio) -> None:
    radio.station = False
    assert wifi.look(scan=True) is None
    with pytest.raises(BadInput):
        wifi.join("Home <b>", PASSWORD)


def test_node_without_iwd_or_a_bus_has_no_networks(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    assert wifi.look() is None
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    assert wifi.look() is None
    with pytest.raises(GoniError):
        wifi.join("Home <b>", PASSWORD)


def test_service_that_hangs_is_given_up(radio: Radio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wifi, "CALL_S", 0.3)
    radio.deaf = True
    assert wifi.look() is None
    with pytest.raises(Unavailable):
        wifi.join("Home <b>", PASSWORD)


def test_nobody_but_iwd_is_told_the_password(radio: Radio, address: str) -> None:
    """Another program on the bus that asks our agent in the right moment gets an error."""
    said = []

    def ask(agent: DBusAddress) -> None:
        with contextlib.closing(open_dbus_connection(address)) as stranger:
            call = new_method_call(agent, "RequestPassphrase", "o", ("/",))
            said.append(stranger.send_and_get_reply(call, timeout=30))

    radio.meddle = ask
    wifi.join("Home <b>", PASSWORD)
    assert radio.joined == "Home <b>"
    assert [one.header.message_type for one in said] == [MessageType.error]
    assert PASSWORD not in str(said[0].body)
