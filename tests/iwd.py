"""A wireless service shaped like iwd, on a D-Bus daemon of the test's own: there is no radio to
test with. Objects, names, signatures and errors are those of iwd 3.8's doc/*-api.txt.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_call,
    new_method_return,
)
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from goni_core import run

IWD = "net.connman.iwd"
STATION = "/net/connman/iwd/0/3"
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""


@dataclass
class Radio:
    """What is in the air: name to (type, password, signal). ``asked`` is what was tried."""

    networks: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    joined: str = ""
    station: bool = True
    scans: int = 0
    tried: list[tuple[str, str]] = field(default_factory=list)
    scanning: int = 0
    """How often it still says that it is scanning."""
    deaf: bool = False
    """It never answers."""
    meddle: Callable[[DBusAddress], None] | None = None
    """Called with our agent's address before the password is asked for."""


class Iwd:
    """Answers calls in a thread until its connection is closed."""

    def __init__(self, radio: Radio, address: str) -> None:
        self._radio = radio
        self._bus: DBusConnection = open_dbus_connection(address)
        self._bus.send_and_get_reply(message_bus.RequestName(IWD))
        self._agent: tuple[str, str] | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # A closed socket does not wake a thread that reads it; a message does.
        sender = new_method_call(DBusAddress("/", self._bus.unique_name, "test.End"), "End")
        with contextlib.closing(open_dbus_connection(self._address())) as bus:
            bus.send(sender)
        self._thread.join(30)
        self._bus.close()

    def _address(self) -> str:
        return f"unix:path={self._bus.sock.getpeername()}"

    def _serve(self) -> None:
        answers = {
            "GetManagedObjects": self._get_managed_objects,
            "Scan": self._scan,
            "Get": self._get,
            "GetOrderedNetworks": self._get_ordered_networks,
            "RegisterAgent": self._register_agent,
            "UnregisterAgent": self._unregister_agent,
            "Connect": self._connect,
        }
        while True:
            message = self._bus.receive()
            if message.header.message_type is not MessageType.method_call:
                continue
            member = message.header.fields[HeaderFields.member]
            if member == "End":
                return
            if not self._radio.deaf:
                self._bus.send(answers[member](message))

    def _path(self, name: str) -> str:
        kind = self._radio.networks[name][0]
        return f"{STATION}/{name.encode().hex()}_{kind}"

    def _get_managed_objects(self, message: Message) -> Message:
        objects: dict[str, Any] = {"/net/connman/iwd": {f"{IWD}.AgentManager": {}}}
        if self._radio.station:
            scanning = ("b", self._radio.scanning > 0)
            objects[STATION] = {f"{IWD}.Station": {"Scanning": scanning}}
        for name, (kind, _, _) in self._radio.networks.items():
            said = {
                "Name": ("s", name),
                "Type": ("s", kind),
                "Connected": ("b", name == self._radio.joined),
            }
            objects[self._path(name)] = {f"{IWD}.Network": said}
        return new_method_return(message, "a{oa{sa{sv}}}", (objects,))

    def _scan(self, message: Message) -> Message:
        self._radio.scans += 1
        if self._radio.scanning:
            return new_error(message, f"{IWD}.InProgress")
        self._radio.scanning = 2
        return new_method_return(message)

    def _get(self, message: Message) -> Message:
        self._radio.scanning = max(0, self._radio.scanning - 1)
        return new_method_return(message, "v", (("b", self._radio.scanning > 0),))

    def _get_ordered_networks(self, message: Message) -> Message:
        found = [(self._path(name), one[2]) for name, one in self._radio.networks.items()]
        found.sort(key=lambda one: -one[1])
        return new_method_return(message, "a(on)", (found,))

    def _register_agent(self, message: Message) -> Message:
        self._agent = (message.header.fields[HeaderFields.sender], message.body[0])
        return new_method_return(message)

    def _unregister_agent(self, message: Message) -> Message:
        self._agent = None
        return new_method_return(message)

    def _connect(self, message: Message) -> Message:
        path = message.header.fields[HeaderFields.path]
        name = next(one for one in self._radio.networks if self._path(one) == path)
        kind, password, _ = self._radio.networks[name]
        given = self._passphrase(path) if kind == "psk" else ""
        self._radio.tried.append((name, given))
        if given is None:
            return new_error(message, f"{IWD}.NoAgent")
        if given != password:
            return new_error(message, f"{IWD}.Failed")
        self._radio.joined = name
        return new_method_return(message)

    def _passphrase(self, path: str) -> str:
        assert self._agent is not None
        sender, at = self._agent
        agent = DBusAddress(at, sender, f"{IWD}.Agent")
        if self._radio.meddle is not None:
            self._radio.meddle(agent)
        call = new_method_call(agent, "RequestPassphrase", "o", (path,))
        reply = self._bus.send_and_get_reply(call, timeout=60)
        return str(reply.body[0]) if reply.header.message_type is MessageType.method_return else ""


@contextlib.contextmanager
def bus(folder: Path) -> Iterator[str]:
    """A D-Bus daemon of its own; its address."""
    socket, config = folder / "bus", folder / "bus.conf"
    config.write_text(CONFIG.format(socket=socket))
    argv = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
    daemon = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert daemon.stdout is not None
        assert daemon.stdout.readline(), "the bus did not start"
        yield f"unix:path={socket}"
    finally:
        assert daemon.stdout is not None
        daemon.stdout.close()
        run.stop(daemon, patience=10)


@contextlib.contextmanager
def running(radio: Radio, address: str) -> Iterator[Radio]:
    """The service on the bus at ``address``."""
    service = Iwd(radio, address)
    try:
        yield radio
    finally:
        service.close()
