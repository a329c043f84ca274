"""Who is near: DNS-SD over multicast (RFC 6762, RFC 6763), service ``_goni._tcp``.

An announcement says the node's id, its state, its version, its ports and a hint by which members of
one household know each other: a keyed hash that is another for each node, so that nobody else can
tell which nodes belong together. It proves nothing and is believed in nothing: an address is one to
try, and a node to pair with still shows its PIN. Whatever is announced, :data:`MOST` nodes are kept
and a cache that outgrows :data:`MOST_NAMES` is thrown away with the sockets it came by.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import random
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import ifaddr
from zeroconf import BadTypeInNameException, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from goni_core.contract import Nearby
from goni_mesh.peers import Address

log = logging.getLogger(__name__)

TYPE = "_goni._tcp.local."
TTL_S = 15
"""Seconds that an announcement is believed. Then the node is asked again, and forgotten when it
does not answer: zeroconf itself would list it for 1125 s."""
LOOK_S = 2.0
ASK_MS = 3000
MOST_AGAIN = 4
"""Announced names that one look tries once more, of those that were missed in a flood."""
MOST, MOST_PENDING, MOST_NAMES, MOST_ADDRESSES = 64, 16, 2000, 4
STATES = ("alone", "waiting", "member", "inviting")
PTR, IN = 12, 1
"""DNS numbers of a pointer record and of the Internet (RFC 1035)."""
WORD = re.compile(r"[0-9a-z.+~-]{0,40}")


@dataclass(frozen=True)
class Announcement:
    """What this node says of itself; ``household`` is its roster's id, empty while it has none."""

    node: str
    state: str
    household: str
    version: str
    port: int
    pairing_port: int

    @property
    def name(self) -> str:
        return f"goni-{self.node[:16]}"

    def properties(self) -> dict[str, str]:
        """The TXT record."""
        return {
            "id": self.node,
            "state": self.state,
            "hint": hint(self.household, self.node) if self.household else "",
            "version": self.version,
            "pairing": str(self.pairing_port),
        }


def hint(household: str, node: str) -> str:
    """By which members know ``node`` for one of theirs: 64 bits of HMAC-SHA-256."""
    return hmac.new(household.encode(), node.encode(), hashlib.sha256).hexdigest()[:16]


def parse(properties: dict[str, str], port: int, addresses: list[str]) -> Nearby | None:
    """What an announcement says; ``None`` for one that is none of Goni's."""
    node, state = properties.get("id", ""), properties.get("state", "")
    pairing, version = properties.get("pairing", ""), properties.get("version", "")
    if not re.fullmatch(r"[0-9a-f]{64}", node) or state not in STATES:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", pairing) or not WORD.fullmatch(version):
        return None
    said = properties.get("hint", "")[:16]
    if not addresses or not 0 < port < 65536 or not 0 < int(pairing) < 65536:
        return None
    return Nearby(node, state, said, version, tuple(addresses[:MOST_ADDRESSES]), port, int(pairing))


class Discovery:
    """Announces what ``about`` says, and keeps who is near. ``heard`` and ``left`` are told of
    announcements that have the hint of this node's household.
    """

    def __init__(
        self,
        about: Callable[[], Announcement],
        heard: Callable[[str, Address], None],
        left: Callable[[str], None],
    ) -> None:
        self._about = about
        self._heard = heard
        self._left = left
        self._found: dict[str, Nearby] = {}
        self._pending: dict[str, asyncio.Task[None]] = {}
        self.changed = asyncio.Event()

    def nearby(self) -> list[Nearby]:
        """Who is near, this node aside."""
        mine = self._about().node
        return sorted(
            (one for one in self._found.values() if one.id != mine), key=lambda one: one.id
        )

    async def keep(self) -> None:
        """Announce and listen until cancelled, anew whenever the node's addresses change."""
        while True:
            addresses = own_addresses()
            try:
                if addresses:
                    await self._on(addresses)
            except OSError as error:
                log.warning("no discovery: %s", error.strerror)
            self._forget()
            await asyncio.sleep(LOOK_S)

    async def _on(self, addresses: list[str]) -> None:
        async with _zeroconf() as found:
            browser = AsyncServiceBrowser(found.zeroconf, TYPE, handlers=[self._noticed])
            said = self._about()
            info = _info(said, addresses)
            await found.async_register_service(info, allow_name_change=True)
            try:
                while own_addresses() == addresses:
                    await self._look()
                    self._check(found.zeroconf)
                    now = self._about()
                    if now.node != said.node:
                        return
                    if now != said:
                        said, info = now, _info(now, addresses, info.name)
                        await found.async_update_service(info)
                    if len(found.zeroconf.cache.cache) > MOST_NAMES:
                        log.warning("too many announcements: starting over")
                        return
            finally:
                await browser.async_cancel()
                await found.async_unregister_all_services()

    async def _look(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self.changed.wait()
        self.changed.clear()

    def _noticed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            self._gone(name)
        else:
            self._start(zeroconf, name)

    def _check(self, zeroconf: Zeroconf) -> None:
        """Ask those again whose announcements are old, and some that were never asked."""
        for name in self._found:
            self._start(zeroconf, name)
        records = zeroconf.cache.get_all_by_details(TYPE, PTR, IN)
        named = [str(getattr(one, "alias", "")) for one in records]
        missed = [name for name in named if name not in self._found]
        for name in random.sample(missed, min(MOST_AGAIN, len(missed))):
            self._start(zeroconf, name)

    def _start(self, zeroconf: Zeroconf, name: str) -> None:
        if len(self._pending) < MOST_PENDING and name not in self._pending:
            task = self._pending[name] = asyncio.create_task(self._ask(zeroconf, name))
            task.add_done_callback(lambda _: self._pending.pop(name, None))

    def _gone(self, name: str) -> None:
        gone = self._found.pop(name, None)
        if gone is not None and self._is_ours(gone):
            self._left(gone.id)

    async def _ask(self, zeroconf: Zeroconf, name: str) -> None:
        with contextlib.suppress(BadTypeInNameException, ValueError, OSError):
            info = AsyncServiceInfo(TYPE, name)
            # From the cache as long as that is fresh; else from the node.
            if not await info.async_request(zeroconf, ASK_MS):
                self._gone(name)
                return
            said = {key: value or "" for key, value in info.decoded_properties.items()}
            near = parse(said, info.port or 0, info.parsed_scoped_addresses(IPVersion.All))
            if near is not None:
                self._take(name, near)

    def _take(self, name: str, near: Nearby) -> None:
        ours = self._is_ours(near)
        if ours:
            for address in near.addresses:
                self._heard(near.id, (address, near.port))
        if name not in self._found and len(self._found) >= MOST:
            # A flood of strangers must not hide the household's own nodes.
            stranger = next((one for one, old in self._found.items() if not self._is_ours(old)), "")
            if not ours or not stranger:
                return
            del self._found[stranger]
        self._found[name] = near

    def _is_ours(self, near: Nearby) -> bool:
        household = self._about().household
        return bool(household) and hmac.compare_digest(near.hint, hint(household, near.id))

    def _forget(self) -> None:
        for task in list(self._pending.values()):
            task.cancel()
        self._found.clear()


@contextlib.asynccontextmanager
async def _zeroconf() -> AsyncIterator[AsyncZeroconf]:
    made = AsyncZeroconf(ip_version=IPVersion.All if _has_ipv6() else IPVersion.V4Only)
    try:
        yield made
    finally:
        await made.async_close()


def _info(said: Announcement, addresses: list[str], name: str = "") -> AsyncServiceInfo:
    return AsyncServiceInfo(
        TYPE,
        name or f"{said.name}.{TYPE}",
        port=said.port,
        properties=dict(said.properties()),
        server=f"{said.name}.local.",
        parsed_addresses=addresses,
        host_ttl=TTL_S,
        other_ttl=TTL_S,
    )


def own_addresses() -> list[str]:
    """This node's addresses that others can reach, IPv4 first; a scope is left out."""
    found = []
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            text = one.ip if isinstance(one.ip, str) else one.ip[0]
            if not text.startswith("127.") and text != "::1":
                found.append(text)
    return sorted(set(found), key=lambda text: (":" in text, text.startswith("fe80"), text))


def _has_ipv6() -> bool:
    return socket.has_ipv6 and any(":" in address for address in own_addresses())
