"""Hosts on one machine: a network namespace each, joined by a bridge in a namespace of its own.
Nothing of it touches the machine's own network (ip-netns(8), veth(4)).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

from goni_core import run
from goni_core.errors import GoniError


class Lan:
    """A switch, and hosts 10.77.0.1, 10.77.0.2 and so on behind it."""

    def __init__(self, count: int) -> None:
        mark = f"goni{os.getpid()}"
        self.switch = f"{mark}sw"
        self.hosts = [f"{mark}h{number}" for number in range(1, count + 1)]

    def address(self, at: int) -> str:
        return f"10.77.0.{at + 1}"

    def prefix(self, at: int) -> tuple[str, ...]:
        """What a command begins with to run on that host."""
        return ("ip", "netns", "exec", self.hosts[at])

    def make(self) -> None:
        ip("netns", "add", self.switch)
        inside(self.switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        inside(self.switch, "link", "set", "br0", "up")
        for at, host in enumerate(self.hosts):
            ip("netns", "add", host)
            ends = ("type", "veth", "peer", "name", "eth0", "netns", host)
            inside(self.switch, "link", "add", f"port{at}", *ends)
            inside(self.switch, "link", "set", f"port{at}", "master", "br0")
            self.plug(at, in_=True)
            inside(host, "link", "set", "lo", "up")
            inside(host, "address", "add", f"{self.address(at)}/24", "dev", "eth0")
            inside(host, "link", "set", "eth0", "up", "multicast", "on")
            inside(host, "route", "add", "default", "dev", "eth0")

    def plug(self, at: int, *, in_: bool) -> None:
        """Plug that host's cable in, or pull it."""
        inside(self.switch, "link", "set", f"port{at}", "up" if in_ else "down")

    def unmake(self) -> None:
        for name in (*self.hosts, self.switch):
            with contextlib.suppress(GoniError):
                ip("netns", "delete", name)


def ip(*words: str) -> None:
    run.run(["ip", *words], timeout=60)


def inside(name: str, *words: str) -> None:
    ip("-n", name, *words)


@contextlib.contextmanager
def lan(count: int) -> Iterator[Lan]:
    """Such a network; the test is skipped where making one is not allowed."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    made = Lan(count)
    try:
        try:
            made.make()
        except GoniError as error:
            pytest.skip(f"this machine makes no network namespaces: {error.message}")
        yield made
    finally:
        made.unmake()
