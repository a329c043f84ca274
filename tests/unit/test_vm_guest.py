"""The verbs' pure parts: listening ports, boot times, and errors that show the console."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from image.agent import Agent
from image.console import Console
from image.guest import BootTimes, Guest, MachineError, boot_times
from image.listeners import Listener, parse

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid\n"
TCP = (
    HEADER
    + "   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1 1\n"
    + "   1: 0F02000A:01BB 0202000A:D431 01 00000000:00000000 00:00000000 00000000  0 0 1 1\n"
    + "   2: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1 1\n"
)
TCP6 = (
    HEADER
    + "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0\n"
    + "   1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 0:0\n"
)
UDP = HEADER + " 3058: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000 0\n"


def test_listening_tcp_ports_are_read_and_connections_are_not() -> None:
    assert parse("tcp", TCP) == {Listener("tcp", "0.0.0.0", 443), Listener("tcp", "127.0.0.53", 53)}


def test_ipv6_and_mapped_loopback_are_known_as_loopback() -> None:
    found = {one.port: one for one in parse("tcp6", TCP6)}
    assert found[8080].address == "::1"
    assert all(one.loopback for one in found.values())
    assert not Listener("tcp", "::", 443).loopback


def test_unconnected_udp_sockets_listen() -> None:
    assert parse("udp", UDP) == {Listener("udp", "0.0.0.0", 5353)}


def test_the_kernels_own_table_of_this_machine_can_be_read() -> None:
    text = Path("/proc/net/tcp").read_text()
    assert all(0 < one.port < 65536 for one in parse("tcp", text))


def test_boot_times_are_durations_in_seconds() -> None:
    stamps = {
        "FirmwareTimestampMonotonic": 9_000_000,
        "LoaderTimestampMonotonic": 2_000_000,
        "KernelTimestampMonotonic": 0,
        "InitRDTimestampMonotonic": 3_000_000,
        "UserspaceTimestampMonotonic": 8_000_000,
        "FinishTimestampMonotonic": 20_000_000,
    }
    assert boot_times(stamps) == BootTimes(7.0, 2.0, 3.0, 5.0, 12.0)


class Pretend(Guest):
    """A guest without a machine: its clock, console and agent's line are real."""

    on = True

    def answer_on(self, line: socket.socket) -> None:
        self._agent = Agent(line, self.check_alive)

    def check_alive(self) -> None:
        if not self.on:
            raise self.error("is not running")


@pytest.fixture
def guest(tmp_path: Path) -> Pretend:
    console = Console(tmp_path / "serial.log")
    console.path.write_text("".join(f"line {number}\n" for number in range(60)))
    return Pretend("node", console)


def test_a_wait_that_ends_shows_the_last_forty_lines_of_the_console(guest: Pretend) -> None:
    with pytest.raises(MachineError) as caught:
        guest.wait_for("rain", lambda: None, 0.05, pause=0.01)
    message = caught.value.message
    assert "node: gave up waiting for rain" in message
    assert "line 59" in message
    assert "line 20\n" in message
    assert "line 19\n" not in message


def test_a_wait_ends_at_once_when_the_machine_ends(guest: Pretend) -> None:
    guest.on = False
    with pytest.raises(MachineError, match="is not running"):
        guest.wait_for("rain", lambda: None, 60)


def test_console_text_is_waited_for(guest: Pretend) -> None:
    assert guest.wait_for_console_text(r"line (5\d)", 1)[1] == "50"
    with pytest.raises(MachineError, match="no such line"):
        guest.wait_for_console_text("no such line", 0)


def test_a_command_without_an_agent_is_refused(guest: Pretend) -> None:
    with pytest.raises(MachineError, match="no agent"):
        guest.succeed("true")


def test_a_boot_that_ends_in_emergency_mode_is_not_waited_for(guest: Pretend) -> None:
    guest.console.path.write_text("You are in emergency mode. After logging in, type ...\n")
    ours, inside = socket.socketpair()
    with ours, inside:
        guest.answer_on(ours)
        with pytest.raises(MachineError, match="stopped in emergency mode"):
            guest.wait_for_boot(600)


def test_a_boot_that_says_nothing_is_given_up(guest: Pretend) -> None:
    ours, inside = socket.socketpair()
    with ours, inside:
        guest.answer_on(ours)
        with pytest.raises(MachineError, match="did not boot"):
            guest.wait_for_boot(0)
