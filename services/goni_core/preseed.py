"""``goni.yaml`` on the boot partition: answers for the setup page and for an installation.

Checked where the stick is made (goni-flash) and where it is used, by the same code. All keys may be
left out; any other is refused::

    node_name: kitchen              # RFC 1123 label
    owner: Anna                     # the password is asked on the page, never kept on a stick
    language: en                    # of the pages; BCP 47: en, de, pt-BR
    time_zone: Europe/Berlin        # tz database
    network:                        # DHCP where it is left out
      address: 192.168.1.20/24      # or an IPv6 one
      gateway: 192.168.1.1
      dns: [192.168.1.1]            # at most three
    install:                        # to an internal disk, without a question
      disk: S6Z2NJ0W                # the serial number of the disk that will be erased
      keep_data: true               # if there is a Goni on it already (default)
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from goni_core import fields
from goni_core.errors import BadInput

FILE = "goni.yaml"
"""Its name at the root of the boot partition (ESP)."""
LIMIT = 16 << 10
"""Bytes at most."""
KEYS = ("node_name", "owner", "language", "time_zone", "network", "install")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
ZONE = re.compile(r"[A-Za-z]+([/_+-][A-Za-z0-9]+)*")
SERIAL = re.compile(r"[!-~]([ -~]{0,62}[!-~])?")
"""Serial numbers are printable ASCII (NVMe Base Specification, Identify Controller)."""


@dataclass(frozen=True)
class Network:
    """A fixed address: ``address`` with its prefix length."""

    address: str
    gateway: str = ""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Install:
    """Which disk to erase, by its serial number, and whether a Goni on it keeps its data."""

    disk: str
    keep_data: bool = True


@dataclass(frozen=True)
class Preseed:
    """What was answered; empty or None where nothing was."""

    node_name: str = ""
    owner: str = ""
    language: str = ""
    time_zone: str = ""
    network: Network | None = None
    install: Install | None = None


def parse(data: bytes) -> Preseed:
    """The preseed in ``data`` (YAML); :class:`BadInput` names the bad field."""
    if len(data) > LIMIT:
        raise BadInput(f"{FILE} is larger than {LIMIT >> 10} KiB")
    try:
        found = yaml.safe_load(data.decode())
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise BadInput(f"{FILE} is not YAML{where}", code="bad_yaml") from error
    table = _table({FILE: {} if found is None else found}, FILE, KEYS)
    return Preseed(
        node_name=_matching(table, "node_name", _is(LABEL), "a name like kitchen-2"),
        owner=_matching(table, "owner", _is_name, "a name of 1 to 60 characters"),
        language=_matching(table, "language", _is(LANGUAGE), "a language like en or pt-BR"),
        time_zone=_matching(table, "time_zone", _is_zone, "a time zone like Europe/Berlin"),
        network=_network(table),
        install=_install(table),
    )


def _table(holder: fields.Object, name: str, known: tuple[str, ...]) -> fields.Object:
    value = holder[name]
    if not isinstance(value, dict):
        raise BadInput(f"{name} must hold keys and values", code="bad_type")
    fields.only(value, known)
    return value


def _matching(
    table: fields.Object, name: str, good: Callable[[str], bool], meant: str, where: str = ""
) -> str:
    if name not in table:
        return ""
    value = fields.text(table, name, longest=200)
    if not good(value):
        raise BadInput(f"{where}{name} must be {meant}", code="bad_value")
    return value


def _is(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: bool(pattern.fullmatch(value))


def _is_name(value: str) -> bool:
    printable = all(unicodedata.category(character)[0] != "C" for character in value)
    return printable and value == value.strip() and len(value) <= 60


def _is_zone(value: str) -> bool:
    """By the tz database where there is one (a person's computer may have none)."""
    return bool(ZONE.fullmatch(value)) and value in (zoneinfo.available_timezones() or {value})


def _network(table: fields.Object) -> Network | None:
    if "network" not in table:
        return None
    found = _table(table, "network", ("address", "gateway", "dns"))
    dns = found.get("dns", [])
    if not isinstance(dns, list) or len(dns) > 3 or not all(_is_address(one) for one in dns):
        raise BadInput("network: dns must be a list of at most three addresses", code="bad_value")
    meant = "an address with its prefix, like 192.168.1.20/24"
    address = _matching(found, "address", _is_interface, meant, "network: ")
    gateway = _matching(found, "gateway", _is_address, "an address", "network: ")
    if not address:
        raise BadInput("network: address is missing", code="missing_field")
    interface = ipaddress.ip_interface(address)
    if gateway and ipaddress.ip_address(gateway) not in interface.network:
        raise BadInput("network: the gateway is not in the address's network", code="bad_value")
    return Network(address, gateway, tuple(dns))


def _install(table: fields.Object) -> Install | None:
    if "install" not in table:
        return None
    found = _table(table, "install", ("disk", "keep_data"))
    if isinstance(found.get("disk"), int):
        raise BadInput("install: disk must be in quotes: it is all digits", code="bad_type")
    disk = _matching(found, "disk", _is(SERIAL), "the disk's serial number", "install: ")
    if not disk:
        raise BadInput("install: disk is missing", code="missing_field")
    return Install(disk, fields.flag(found, "keep_data", default=True))


def _is_address(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def _is_interface(value: str) -> bool:
    try:
        return "/" in value and bool(ipaddress.ip_interface(value))
    except ValueError:
        return False
