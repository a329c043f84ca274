"""The harness itself, on the image under test: its verbs, its power, and that nothing gets out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from image.guest import MachineError
from image.machine import Machine


@pytest.fixture(scope="module")
def machine(machines: Callable[..., Machine]) -> Machine:
    """A machine that has booted."""
    made = machines("node")
    made.wait_for_unit("sysinit.target")
    return made


def test_commands_succeed_and_fail_as_they_do_inside(machine: Machine) -> None:
    assert machine.succeed("echo $((6 * 7))") == "42\n"
    assert machine.fail(["false"]).rc == 1
    with pytest.raises(MachineError, match="last lines of"):
        machine.succeed("echo why >&2; exit 5")


def test_files_come_through_whole_both_ways(machine: Machine, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom((1 << 20) + 7))
    machine.push(source, "/run/harness-test")
    machine.pull("/run/harness-test", back)
    assert back.read_bytes() == source.read_bytes()


def test_nothing_of_this_computer_is_reachable_from_inside(machine: Machine) -> None:
    """10.0.2.2 is this computer's loopback in QEMU's user network, unless it is restricted."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        reach = f"import socket; socket.create_connection(('10.0.2.2', {port}), 5)"
        machine.fail(["python3", "-c", reach])


def test_the_agent_is_not_part_of_the_image(machine: Machine) -> None:
    machine.succeed("systemctl is-active goni-test-agent.service")
    path = machine.succeed(["systemctl", "show", "-P", "FragmentPath", "goni-test-agent.service"])
    assert path.startswith("/run/")
    assert not machine.execute("find /usr /etc -xdev -name '*goni-test*'").stdout


def test_the_screen_can_be_looked_at(machine: Machine, tmp_path: Path) -> None:
    machine.screenshot(tmp_path / "screen.png")
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_synced_survives_a_power_cut(machine: Machine) -> None:
    before = machine.agent.boot_id
    machine.succeed("echo kept > /var/lib/harness-test; sync /var/lib/harness-test")
    machine.power_cut()
    machine.power_on()
    assert machine.agent.boot_id != before
    assert machine.succeed("cat /var/lib/harness-test") == "kept\n"
