"""The test agent, both halves: the real inside half runs as a process on a socket pair."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_core.errors import GoniError
from image import guest_agent
from image.agent import Agent, Rebooted, Silent

SOURCE = Path(guest_agent.__file__)
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def still_on() -> None:
    return


@pytest.fixture
def agent() -> Iterator[Agent]:
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-I", str(SOURCE), str(theirs.fileno())]
    with subprocess.Popen(words, pass_fds=[theirs.fileno()]) as inside:
        theirs.close()
        outside = Agent(ours, still_on)
        outside.wait_for_boot(30)
        yield outside
        outside.close()
        assert inside.wait(10) == 0


@pytest.fixture
def line() -> Iterator[tuple[Agent, socket.socket]]:
    """The outside half, and the bare other end of its line."""
    ours, theirs = socket.socketpair()
    agent = Agent(ours, still_on)
    yield agent, theirs
    agent.close()
    theirs.close()


def say(stream: socket.socket, value: object) -> None:
    stream.sendall(json.dumps(value).encode() + b"\n")


def test_hello_carries_the_kernels_boot_id(agent: Agent) -> None:
    assert agent.boot_id == BOOT


def test_a_command_gives_its_status_and_both_outputs(agent: Agent) -> None:
    result = agent.command("echo out; echo err >&2; exit 3", 20)
    assert (result.rc, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_a_list_is_run_without_a_shell(agent: Agent) -> None:
    assert agent.command(["printf", "%s", "$HOME;"], 20).stdout == "$HOME;"


def test_a_shell_command_stops_at_the_first_failure(agent: Agent) -> None:
    result = agent.command("false | true; echo reached", 20)
    assert result.rc != 0
    assert "reached" not in result.stdout


def test_a_missing_program_is_an_error_and_the_next_command_works(agent: Agent) -> None:
    with pytest.raises(GoniError, match="no-such-program"):
        agent.command(["no-such-program"], 20)
    assert agent.command(["true"], 20).rc == 0


def test_a_command_that_takes_too_long_is_killed_with_its_children(
    agent: Agent, tmp_path: Path
) -> None:
    result = agent.command(f"sleep 60 & echo $! > {tmp_path}/child; wait", 1)
    assert result.timed_out
    assert result.rc == 124
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    for _ in range(100):
        if not child.exists() or ") Z " in child.read_text():
            return
        time.sleep(0.05)
    pytest.fail("the child of the killed command still runs")


def test_a_daemon_left_behind_does_not_hold_the_answer_back(agent: Agent) -> None:
    begun = time.monotonic()
    result = agent.command("echo started; setsid sleep 8 &", 60)
    assert result.stdout == "started\n"
    assert time.monotonic() - begun < 7


def test_endless_output_is_cut_off_and_said_so(agent: Agent) -> None:
    result = agent.command(["head", "-c", str(guest_agent.OUTPUT_LIMIT + 1000), "/dev/zero"], 60)
    assert result.rc == 0
    assert result.truncated
    assert len(result.stdout) == guest_agent.OUTPUT_LIMIT


def test_many_commands_get_their_own_answers(agent: Agent) -> None:
    answers = [agent.command(["echo", str(number)], 20).stdout for number in range(50)]
    assert answers == [f"{number}\n" for number in range(50)]


@pytest.mark.parametrize("size", [0, 1, 256 << 10, (1 << 20) + 7])
def test_a_file_comes_through_whole_both_ways(agent: Agent, tmp_path: Path, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    source, inside, back = tmp_path / "source", tmp_path / "inside", tmp_path / "back"
    source.write_bytes(data)
    inside.write_bytes(b"something older and longer" * 10)
    agent.push(source, str(inside))
    assert inside.read_bytes() == data
    agent.pull(str(inside), back)
    assert back.read_bytes() == data


def test_pulling_a_missing_file_is_an_error(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(GoniError, match="FileNotFoundError"):
        agent.pull(str(tmp_path / "none"), tmp_path / "back")


@pytest.mark.parametrize(
    "request_line",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"id": 1}',
        b'{"id": 1, "argv": []}',
        b'{"id": 1, "argv": "true", "timeout": "soon"}',
        b'{"id": 1, "write": "/tmp/x", "append": false, "mode": 384, "data": "?"}',
    ],
)
def test_a_malformed_request_is_answered_with_an_error(request_line: bytes) -> None:
    assert "error" in guest_agent.answer(request_line)


def test_a_silent_machine_is_given_up_on(line: tuple[Agent, socket.socket]) -> None:
    with pytest.raises(Silent):
        line[0].wait_for_boot(0.1)


def test_a_command_before_hello_is_refused(line: tuple[Agent, socket.socket]) -> None:
    with pytest.raises(Silent, match="hello"):
        line[0].command(["true"], 1)


def test_waiting_ends_at_once_when_the_machine_ended() -> None:
    def ended() -> None:
        raise GoniError("the machine ended")

    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(GoniError, match="the machine ended"):
        Agent(ours, ended).wait_for_boot(60)


def test_a_reboot_during_a_command_is_noticed(line: tuple[Agent, socket.socket]) -> None:
    agent, inside = line
    say(inside, {"hello": "first"})
    agent.wait_for_boot(5)
    inside.sendall(b'{"id": 1, "rc"\n')
    say(inside, {"hello": "second"})
    with pytest.raises(Rebooted):
        agent.command(["true"], 5)
    assert agent.boot_id == "second"


def test_waiting_for_a_new_boot_passes_over_the_old_ones_hello(
    line: tuple[Agent, socket.socket],
) -> None:
    agent, inside = line
    say(inside, {"hello": "first"})
    agent.wait_for_boot(5)
    say(inside, {"hello": "first"})
    say(inside, {"hello": "second"})
    assert agent.wait_for_boot(5, after="first") == "second"


def test_an_answer_to_an_earlier_request_is_passed_over(line: tuple[Agent, socket.socket]) -> None:
    agent, inside = line
    nothing = base64.b64encode(b"").decode()
    late = {"id": 99, "rc": 9, "stdout": nothing, "stderr": nothing}
    right = {"id": 1, "rc": 0, "stdout": nothing, "stderr": nothing}
    flags = {"timed_out": False, "truncated": False}

    def inside_half() -> None:
        inside.recv(65536)
        say(inside, {**late, **flags})
        say(inside, {**right, **flags})

    say(inside, {"hello": "first"})
    agent.wait_for_boot(5)
    other = threading.Thread(target=inside_half)
    other.start()
    assert agent.command(["true"], 5).rc == 0
    other.join()
