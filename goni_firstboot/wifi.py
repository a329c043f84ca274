"""Wireless networks through iwd, over D-Bus (iwd's doc/*-api.txt: station, network, agent).

iwd keeps networks and passwords; networkd does the addresses. Every function here blocks for as
long as it takes: call it in a thread. A node without iwd or without a radio has no networks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jeepney import (
    DBusAddress,
    DBusErrorResponse,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_call,
    new_method_return,
)
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from goni_core.errors import BadInput, GoniError, Unavailable

IWD = "net.connman.iwd"
MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
AGENT_PATH = "/de/goni/agent"
CALL_S = 10.0
SCAN_S = 15.0
CONNECT_S = 45.0
"""Seconds for a call, a scan, and joining a network, in which iwd itself waits for up to 30."""
MOST = 30
"""Networks that are listed, the strongest first."""
Body = tuple[Any, ...]
OPEN, PASSWORD = "open", "psk"
"""The kinds that this page can join: iwd's ``Type``. 802.1X needs more than a password."""
PASSWORD_LEAST, PASSWORD_LONGEST = 8, 63
"""Characters of a passphrase (IEEE 802.11, annex J.4)."""


@dataclass(frozen=True)
class Network:
    """A network in reach. ``signal`` is in hundredths of dBm, as iwd says it: -10000 to 0."""

    name: str
    kind: str
    signal: int
    connected: bool
    path: str

    @property
    def bars(self) -> int:
        """1 to 4, as phones draw them."""
        return 1 + sum(self.signal >= limit for limit in (-8000, -7000, -6000))


class Iwd:
    """An open connection to iwd."""

    def __init__(self, bus: DBusConnection) -> None:
        self._bus = bus

    def objects(self) -> Mapping[str, Mapping[str, Any]]:
        """All of iwd's objects: interfaces by path, properties by interface."""
        (found,) = self._call("/", MANAGER, "GetManagedObjects")
        return dict(found)

    def station(self) -> str:
        """The path of the first radio that can join networks; "" when there is none."""
        found = [path for path, has in self.objects().items() if f"{IWD}.Station" in has]
        return min(found, default="")

    def scan(self, station: str) -> None:
        """Look around, and wait until that is done."""
        try:
            self._call(station, f"{IWD}.Station", "Scan")
        except DBusErrorResponse as error:
            if error.name != f"{IWD}.InProgress":
                raise
        until = time.monotonic() + SCAN_S
        while time.monotonic() < until and self._scanning(station):
            time.sleep(0.2)

    def networks(self, station: str) -> tuple[Network, ...]:
        """What the last scan found, strongest first."""
        (ordered,) = self._call(station, f"{IWD}.Station", "GetOrderedNetworks")
        known = self.objects()
        found = []
        for path, signal in ordered[:MOST]:
            has = {name: value for name, (_, value) in known[path][f"{IWD}.Network"].items()}
            found.append(Network(has["Name"], has["Type"], signal, has["Connected"], path))
        return tuple(found)

    def connect(self, network: Network, password: str) -> None:
        """Join ``network``; iwd asks our agent for the password. :class:`DBusErrorResponse`."""
        agents = f"{IWD}.AgentManager"
        self._call("/net/connman/iwd", agents, "RegisterAgent", "o", (AGENT_PATH,))
        try:
            # Before iwd is asked: whatever comes during a call of ours is not kept by jeepney.
            (owner,) = _unpacked(self._bus.send_and_get_reply(message_bus.GetNameOwner(IWD)))
            address = DBusAddress(network.path, bus_name=IWD, interface=f"{IWD}.Network")
            asked = self._bus.outgoing_serial
            serial = next(asked)
            self._bus.send(new_method_call(address, "Connect"), serial=serial)
            self._answer(serial, owner, password, time.monotonic() + CONNECT_S)
        finally:
            self._call("/net/connman/iwd", agents, "UnregisterAgent", "o", (AGENT_PATH,))

    def _answer(self, serial: int, owner: str, password: str, until: float) -> None:
        """Serve the agent until the call with ``serial`` is answered; iwd's questions only, which
        is ``owner`` on the bus.
        """
        while True:
            message = self._bus.receive(timeout=max(0.0, until - time.monotonic()))
            said = message.header.fields
            if message.header.message_type is MessageType.method_call:
                known = said.get(HeaderFields.sender) == owner
                self._bus.send(agent_reply(message, password if known else ""))
            elif said.get(HeaderFields.reply_serial) == serial:
                _unpacked(message)
                return

    def _scanning(self, station: str) -> bool:
        ((_, value),) = self._call(station, PROPERTIES, "Get", "ss", (f"{IWD}.Station", "Scanning"))
        return bool(value)

    def _call(
        self,
        path: str,
        interface: str,
        method: str,
        signature: str = "",
        body: Body = (),
    ) -> Body:
        address = DBusAddress(path, bus_name=IWD, interface=interface)
        call = new_method_call(address, method, signature or None, body)
        return _unpacked(self._bus.send_and_get_reply(call, timeout=CALL_S))


def _unpacked(reply: Message) -> Body:
    if reply.header.message_type is MessageType.error:
        raise DBusErrorResponse(reply)
    return tuple(reply.body)


def agent_reply(message: Message, password: str) -> Message:
    """What our agent says to iwd: the password when it is asked for one, and nothing else."""
    member = message.header.fields.get(HeaderFields.member)
    if member == "RequestPassphrase" and password:
        return new_method_return(message, "s", (password,))
    if member in ("Release", "Cancel"):
        return new_method_return(message)
    return new_error(message, f"{IWD}.Agent.Error.Canceled")


@contextmanager
def opened() -> Iterator[Iwd]:
    """A connection to iwd; its errors become :class:`GoniError` s of ours."""
    try:
        bus = open_dbus_connection("SYSTEM")
    except (OSError, KeyError, ValueError) as error:
        raise Unavailable("the system bus does not answer", code="no_bus") from error
    try:
        yield Iwd(bus)
    except DBusErrorResponse as error:
        raise understood(error) from error
    except (OSError, TimeoutError, KeyError, ValueError) as error:
        raise Unavailable("the wireless service does not answer", code="no_iwd") from error
    finally:
        bus.close()


def understood(error: DBusErrorResponse) -> GoniError:
    """An error of iwd's in our words (its doc/network-api.txt)."""
    name = str(error.name).rpartition(".")[2]
    if name in ("Failed", "Aborted", "Canceled"):
        return BadInput("the network did not let this node in", code="wifi_refused")
    if name in ("InvalidFormat", "InvalidArguments"):
        return BadInput("that can't be the network's password", code="wifi_refused")
    if name in ("NoAgent", "NotSupported"):
        return BadInput("this network wants more than a password", code="wifi_unsupported")
    return Unavailable("the wireless service is not there", code="no_iwd")


def look(*, scan: bool = False) -> tuple[Network, ...] | None:
    """The networks in reach; None when this node has no radio that is switched on."""
    try:
        with opened() as iwd:
            station = iwd.station()
            if not station:
                return None
            if scan:
                iwd.scan(station)
            return iwd.networks(station)
    except Unavailable:
        return None


def join(name: str, password: str) -> None:
    """Join the network called ``name``; :class:`GoniError` when that fails."""
    with opened() as iwd:
        station = iwd.station()
        found = iwd.networks(station) if station else ()
        network = next((one for one in found if one.name == name), None)
        if network is None:
            raise BadInput("that network is out of reach", code="wifi_gone")
        if network.kind not in (OPEN, PASSWORD):
            raise BadInput("this network wants more than a password", code="wifi_unsupported")
        if not network.connected:
            iwd.connect(network, password)
