"""The addresses under which this node can be reached, from ``ip -json address`` (ip-address(8)).

IPv4 first, as that is what people can type. Left out: loopback, link-local (a browser can't use
them), and addresses that aren't settled yet or are going away.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

from goni_core import run
from goni_core.errors import GoniError

UNUSABLE = ("tentative", "dadfailed", "deprecated", "temporary")
MOST = 6
"""Addresses that are shown; the screen is small."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def current() -> tuple[str, ...]:
    """This node's addresses now; :class:`GoniError` when they can't be read."""
    return parse(run.run(["ip", "-json", "address", "show", "up"], timeout=10).stdout)


def parse(listing: bytes) -> tuple[str, ...]:
    """The usable addresses in ``ip -json address``'s output."""
    try:
        interfaces = json.loads(listing or b"[]")
        found = {address for interface in interfaces for address in _usable(interface)}
    except (ValueError, TypeError, AttributeError) as error:
        raise GoniError("the list of addresses can't be read", code="bad_addresses") from error
    ordered = sorted(found, key=lambda address: (address.version, int(address)))
    return tuple(str(address) for address in ordered[:MOST])


def url(address: str) -> str:
    """The setup page's URL at ``address``."""
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


def _usable(interface: dict[str, Any]) -> Iterator[Address]:
    for entry in interface.get("addr_info", []):
        address = ipaddress.ip_address(entry.get("local", ""))
        unsettled = any(entry.get(flag) for flag in UNUSABLE)
        if not (address.is_loopback or address.is_link_local or unsettled):
            yield address
