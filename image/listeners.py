"""Which ports a machine listens on, read from the kernel's own tables (proc_pid_net(5))."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

TABLES = ("tcp", "tcp6", "udp", "udp6")
LISTENING = {"tcp": "0A", "udp": "07"}
"""The state column: TCP_LISTEN; for UDP a socket without a fixed peer."""


@dataclass(frozen=True, order=True)
class Listener:
    """A port that something inside waits on. ``protocol``: tcp or udp."""

    protocol: str
    address: str
    port: int

    @property
    def loopback(self) -> bool:
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return address.is_loopback or bool(mapped and mapped.is_loopback)


def parse(table: str, text: str) -> set[Listener]:
    """The listeners in ``/proc/net/<table>``'s text."""
    protocol = table.removesuffix("6")
    found = set()
    for line in text.splitlines()[1:]:
        columns = line.split()
        if len(columns) > 3 and columns[3] == LISTENING[protocol]:
            address, port = columns[1].split(":")
            found.add(Listener(protocol, _address(address), int(port, 16)))
    return found


def _address(digits: str) -> str:
    # The kernel prints the address as 32-bit words in the machine's (little-endian) order.
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(struct.pack(f"<{len(words)}I", *words)))
