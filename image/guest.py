"""The verbs of a running machine, after the NixOS test driver's: ask, expect, wait.

Everything here goes through the agent or the forwarded port, has a deadline, notices when the
machine ends, and fails with the last lines of its serial console. Times are in seconds and
generous: an emulated machine is ten times slower than a real one.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from goni_core.errors import GoniError
from image import listeners
from image.agent import Agent, Rebooted, Result, Silent
from image.console import EMERGENCY, Console

COMMAND_TIMEOUT = 120.0
WAIT_TIMEOUT = 300.0
BOOT_TIMEOUT = 900.0
TIMESTAMPS = ("Firmware", "Loader", "Kernel", "InitRD", "Userspace", "Finish")

T = TypeVar("T")


class MachineError(GoniError):
    """A machine didn't do what was expected; ends with the last lines of its serial console."""


@dataclass(frozen=True)
class BootTimes:
    """Seconds that each part of the boot took, as systemd-analyze(1) counts them."""

    firmware: float
    loader: float
    kernel: float
    initrd: float
    userspace: float


@dataclass(frozen=True)
class Page:
    """An answer over HTTPS: status and body."""

    status: int
    body: bytes


class Guest:
    """What runs inside a machine called ``name``; :class:`image.machine.Machine` powers it."""

    def __init__(self, name: str, console: Console) -> None:
        self.name = name
        self.console = console
        self._agent: Agent | None = None

    def check_alive(self) -> None:
        """Raise when the machine isn't running."""
        raise NotImplementedError

    def host_port(self, port: int) -> int:
        """The loopback port that reaches ``port`` inside."""
        raise NotImplementedError

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            raise self.error("has no agent: it is off, or was made without one")
        return self._agent

    def error(self, message: str) -> MachineError:
        """``message`` about this machine, with the end of its serial log."""
        tail = self.console.tail() or "(nothing)"
        return MachineError(
            f"{self.name}: {message}\n--- last lines of {self.console.path}:\n{tail}\n---"
        )

    def execute(self, command: Sequence[str] | str, timeout: float = COMMAND_TIMEOUT) -> Result:
        """Run ``command`` inside (a string: in bash) and return what it did, good or bad."""
        try:
            return self.agent.command(command, timeout)
        except MachineError:
            raise
        except Rebooted as error:
            why = self.console.before_restart()
            raise self.error(f"rebooted during {command!r}, after:\n{why}\nand now:") from error
        except GoniError as error:
            raise self.error(f"{error.message}, asked for {command!r}") from error

    def succeed(self, command: Sequence[str] | str, timeout: float = COMMAND_TIMEOUT) -> str:
        """The output of ``command``, which must end well."""
        result = self.execute(command, timeout)
        if result.rc != 0:
            raise self.error(_unexpected("failed", command, result))
        return result.stdout

    def fail(self, command: Sequence[str] | str, timeout: float = COMMAND_TIMEOUT) -> Result:
        """The result of ``command``, which must not end well."""
        result = self.execute(command, timeout)
        if result.rc == 0:
            raise self.error(_unexpected("succeeded", command, result))
        return result

    def wait_for(
        self, what: str, look: Callable[[], T | None], timeout: float, *, pause: float = 1.0
    ) -> T:
        """Call ``look`` until it returns something true, and return that."""
        end = time.monotonic() + timeout
        while True:
            self.check_alive()
            found = look()
            if found:
                return found
            if time.monotonic() > end:
                raise self.error(f"gave up waiting for {what} after {timeout:g} s")
            time.sleep(pause)

    def wait_until_succeeds(
        self, command: Sequence[str] | str, timeout: float = WAIT_TIMEOUT
    ) -> str:
        """The output of ``command`` once it ends well."""

        def look() -> Result | None:
            result = self.execute(command)
            return result if result.rc == 0 else None

        return self.wait_for(f"success of {command!r}", look, timeout).stdout

    def wait_for_unit(self, unit: str, timeout: float = WAIT_TIMEOUT) -> None:
        """Wait until ``unit`` is active; at once an error when it has failed."""

        def look() -> bool:
            state = self.execute(["systemctl", "show", "-P", "ActiveState", unit]).stdout.strip()
            if state == "failed":
                raise self.error(f"{unit} failed; its journal:\n{self.journal(unit)}")
            return state == "active"

        self.wait_for(unit, look, timeout)

    def wait_for_console_text(self, pattern: str, timeout: float = WAIT_TIMEOUT) -> re.Match[str]:
        """Wait until this boot's serial output matches ``pattern``."""
        compiled = re.compile(pattern)
        return self.wait_for(
            f"{pattern!r} on the console", lambda: compiled.search(self.console.text()), timeout
        )

    def wait_for_port(self, port: int, timeout: float = WAIT_TIMEOUT) -> None:
        """Wait until something inside listens on the TCP port ``port``."""
        self.wait_for(
            f"port {port}",
            lambda: any(
                one.port == port for one in self.listening_ports() if one.protocol == "tcp"
            ),
            timeout,
        )

    def wait_for_https(self, path: str = "/", timeout: float = WAIT_TIMEOUT) -> Page:
        """Wait until ``path`` is answered with a status below 500 through the forwarded port."""

        def look() -> Page | None:
            page = self.get_https(path)
            return page if page and page.status < 500 else None

        return self.wait_for(f"an answer to https {path}", look, timeout)

    def get_https(self, path: str = "/", *, timeout: float = 30.0) -> Page | None:
        """``path`` as the node serves it; None when nothing answers. Doesn't check who answers:
        the port leads to this machine and nowhere else.
        """
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        port = self.host_port(443)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=timeout, context=context
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Page(response.status, response.read(8 << 20))
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def journal(self, unit: str = "", *, lines: int = 200) -> str:
        """The last ``lines`` lines of this boot's journal, of one unit or of everything."""
        of_unit = ["-u", unit] if unit else []
        words = ["journalctl", "-b", "--no-pager", "-o", "short-monotonic", "-n", str(lines)]
        return self.execute([*words, *of_unit]).stdout

    def failed_units(self) -> list[str]:
        """The names of the units that are failed now."""
        words = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--all"]
        return [line.split()[0] for line in self.succeed(words).splitlines() if line.strip()]

    def listening_ports(self) -> set[listeners.Listener]:
        """Every TCP and UDP port that something inside waits on."""
        found: set[listeners.Listener] = set()
        for table in listeners.TABLES:
            result = self.execute(["cat", f"/proc/net/{table}"])
            if result.rc == 0:  # without IPv6 there are no tables for it
                found |= listeners.parse(table, result.stdout)
        return found

    def push(self, source: Path, target: str, *, mode: int = 0o600) -> None:
        """Copy a file of this machine to ``target`` inside."""
        self.agent.push(source, target, mode=mode)

    def pull(self, source: str, target: Path) -> None:
        """Copy the file ``source`` from inside to this machine's ``target``."""
        self.agent.pull(source, target)

    def reboot(self, timeout: float = BOOT_TIMEOUT) -> str:
        """Restart from inside and wait for the new boot's agent; the new boot id."""
        before = self.agent.boot_id
        self.console.mark()
        try:
            self.agent.command(["systemctl", "reboot", "--no-block"], 60)
        except Rebooted:
            return self.agent.boot_id
        return self.wait_for_boot(timeout, after=before)

    def wait_for_boot(self, timeout: float = BOOT_TIMEOUT, *, after: str = "") -> str:
        """Wait for the agent of another boot than ``after``; its boot id. Gives up at once when
        the boot ends in emergency mode.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                return self.agent.wait_for_boot(2.0, after=after)
            except Silent as error:
                if EMERGENCY.search(self.console.text()):
                    raise self.error("stopped in emergency mode") from error
                if time.monotonic() > end:
                    raise self.error(f"did not boot within {timeout:g} s") from error

    def boot_times(self) -> BootTimes:
        """How long this boot's parts took; wait for ``multi-user.target`` first."""
        words = [word for name in TIMESTAMPS for word in ("-p", f"{name}TimestampMonotonic")]
        lines = self.succeed(["systemctl", "show", *words]).splitlines()
        return boot_times({key: int(value) for key, value in (one.split("=", 1) for one in lines)})


def boot_times(stamps: dict[str, int]) -> BootTimes:
    """Durations from systemd's monotonic time stamps, which are in microseconds. Firmware and
    loader count back from the kernel's start.
    """
    at = {name: stamps.get(f"{name}TimestampMonotonic", 0) / 1e6 for name in TIMESTAMPS}
    return BootTimes(
        firmware=round(at["Firmware"] - at["Loader"], 3),
        loader=round(at["Loader"], 3),
        kernel=round(at["InitRD"] or at["Userspace"], 3),
        initrd=round(at["Userspace"] - at["InitRD"], 3) if at["InitRD"] else 0.0,
        userspace=round(max(0.0, at["Finish"] - at["Userspace"]), 3),
    )


def _unexpected(what: str, command: Sequence[str] | str, result: Result) -> str:
    late = " (ran out of time)" if result.timed_out else ""
    return (
        f"{command!r} {what} with status {result.rc}{late}\n"
        f"stdout: {result.stdout.strip()}\nstderr: {result.stderr.strip()}"
    )
