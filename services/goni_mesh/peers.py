"""The other nodes of the household: where they are, how they are, and the beat that keeps up.

One task per peer asks it every :data:`BEAT_S` how it is; when its roster differs, the two are made
one. A change here is told at once. Addresses come from where a peer last answered, from where it
asks this node itself, from discovery, and from the roster; none is believed further than that a
connection is tried, in which only the peer's own key can answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime

from goni_core import contract, fields
from goni_core.contract import NodeLoad, PeerState
from goni_core.errors import GoniError
from goni_core.http import Peer
from goni_mesh import channel, loads, sync
from goni_mesh.household import Household
from goni_mesh.loads import Loads
from goni_mesh.members import Node

log = logging.getLogger(__name__)

BEAT_S, CROWD = 5.0, 8
"""Seconds between two beats in a household of up to so many nodes; longer in a larger one, so that
what one node says while nothing happens doesn't grow with their number."""
CLIENT_S = 86_400.0
"""Seconds after which a client is made anew, with this node's newest certificate."""
HEALTH_S, HEALTH_LIMIT = 5.0, 64 << 10
GONE_BEATS = 2.5
MOST_ADDRESSES = 8
Address = tuple[str, int]


@dataclass
class _Peer:
    """What is known of one peer."""

    node: Node
    found: list[Address] = field(default_factory=list)
    address: Address | None = None
    client: Peer | None = None
    chats: list[tuple[Address, float, Peer]] = field(default_factory=list)
    answered: float | None = None
    words: str = "not reached yet"
    version: str = ""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    spared: bool = False


class Peers:
    """All peers of ``household``; ``port`` is where they find this node's channel, ``today`` says
    the date for new certificates, ``known`` is what nodes can take on.
    """

    def __init__(
        self, household: Household, port: int, today: Callable[[], datetime], known: Loads
    ) -> None:
        self._household = household
        self._loads = known
        self._port = port
        self._today = today
        self._peers: dict[str, _Peer] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep up with the peers as long as the block lasts."""
        self._household.changed.append(self.follow)
        self._loads.changed.append(self.wake)
        self.follow()
        try:
            yield
        finally:
            self._household.changed.remove(self.follow)
            for node in list(self._peers):
                self._drop(node)
            await asyncio.gather(*self._closing, return_exceptions=True)

    def follow(self) -> None:
        """Take up new peers, let removed ones go, and tell the rest that something changed."""
        now = self._household.peers()
        for node in self._peers.keys() - now.keys():
            self._drop(node)
        for node in now.keys() - self._peers.keys():
            peer = self._peers[node] = _Peer(now[node])
            peer.task = asyncio.create_task(self._keep_up(peer))
        self.wake()

    def wake(self) -> None:
        """Beat now: there is something to tell."""
        for peer in self._peers.values():
            peer.wake.set()

    def heard(self, node: str, address: Address) -> None:
        """Somebody says that ``node`` is at ``address``; only worth a try."""
        peer = self._peers.get(node)
        if peer is None or address in peer.found:
            return
        peer.found = [address, *peer.found][:MOST_ADDRESSES]
        if peer.answered is None or time.monotonic() - peer.answered > self._beat:
            peer.wake.set()

    def asked(self, node: str, address: Address, digest: str, held: str) -> None:
        """A peer, told by its key, asked this node how it is and said what it has, and what it
        holds of this node's load. When that is right, this node needn't ask as well: one beat is
        enough for two.
        """
        self.heard(node, address)
        peer, now = self._peers.get(node), self._household.roster
        if peer is None or peer.client is None or not now:
            return
        if digest == sync.digest(now) and held == loads.digest(self._loads.mine):
            peer.answered, peer.spared = time.monotonic(), True

    def left(self, node: str) -> None:
        """Somebody says that ``node`` has gone: look at once."""
        if node in self._peers:
            self._peers[node].wake.set()

    def states(self) -> list[PeerState]:
        """Every peer as it is now."""
        return [self._state(peer) for _, peer in sorted(self._peers.items())]

    def loads(self) -> list[NodeLoad]:
        """What every peer that is here last said that it can take on."""
        now = time.monotonic()
        return [
            NodeLoad(node, peer.node.name, round(now - told.at, 1), told.load)
            for node, peer in sorted(self._peers.items())
            if self._is_here(peer) and (told := self._loads.told.get(node))
        ]

    def client(self, node: str) -> Peer | None:
        """A client of a peer that answered lately, for what takes longer than a beat: a beat that
        fails doesn't end it, only the removal of the node does.
        """
        peer = self._peers.get(node)
        if peer is None or peer.address is None or not self._is_here(peer):
            return None
        now = time.monotonic()
        if peer.chats:
            address, made, client = peer.chats[-1]
            if address == peer.address and now - made < CLIENT_S:
                return client
        tls = channel.towards(peer.node, self._household, self._today())
        fresh = Peer(f"node {peer.node.name}", *peer.address, tls)
        peer.chats.append((peer.address, now, fresh))
        return fresh

    @property
    def _beat(self) -> float:
        return BEAT_S * max(1.0, len(self._peers) / CROWD)

    def _is_here(self, peer: _Peer) -> bool:
        if peer.answered is None or peer.client is None:
            return False
        return time.monotonic() - peer.answered < GONE_BEATS * self._beat + HEALTH_S

    def _state(self, peer: _Peer) -> PeerState:
        here = self._is_here(peer)
        host, port = peer.address or ("", 0)
        age = -1.0 if peer.answered is None else time.monotonic() - peer.answered
        return PeerState(
            peer.node.id, peer.node.name, here, host, port, peer.version, round(age, 1), peer.words
        )

    def _drop(self, node: str) -> None:
        self._loads.forget(node)
        task = self._peers.pop(node).task
        if task is not None:
            task.cancel()
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _keep_up(self, peer: _Peer) -> None:
        try:
            while True:
                if peer.wake.is_set() or not peer.spared:
                    peer.wake.clear()
                    await self._beat_once(peer)
                peer.spared = False
                pause = self._beat * random.uniform(0.8, 1.2)  # noqa: S311 - only not in step
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await peer.wake.wait()
        finally:
            await self._disconnect(peer)
            for _, _, client in peer.chats:
                await client.close()

    async def _beat_once(self, peer: _Peer) -> None:
        for address in self._candidates(peer):
            try:
                await self._talk(peer, address)
            except GoniError as error:
                if peer.words != error.message:
                    log.info("node %s: %s", peer.node.id[:16], error.message)
                peer.words = error.message
                await self._disconnect(peer)
            except Exception:
                # A bug must not make this peer a ghost: its traceback, and the next beat.
                log.exception("node %s: a bug", peer.node.id[:16])
                await self._disconnect(peer)
            else:
                return

    def _candidates(self, peer: _Peer) -> list[Address]:
        known = [peer.address] if peer.address else []
        last = self._household.store.reached().get(peer.node.id)
        now = self._household.roster
        told = now.shown.get(f"node/{peer.node.id}/address") if now else None
        known += [last] if last else []
        known += [told_address] if told and (told_address := parse(told.winner.value)) else []
        return list(dict.fromkeys([*known, *peer.found]))

    async def _talk(self, peer: _Peer, address: Address) -> None:
        if peer.client is None or peer.address != address:
            await self._disconnect(peer)
            tls = channel.towards(peer.node, self._household, self._today())
            peer.client = Peer(f"node {peer.node.name}", *address, tls)
            peer.address = address
        # With the port it learns where this node is, from the connection that proved who it is.
        said = await peer.client.ask(
            "GET",
            f"/health?port={self._port}&digest={sync.digest(self._household.joined())}"
            f"&load={self._loads.held(peer.node.id)}",
            limit=HEALTH_LIMIT,
            seconds=HEALTH_S,
        )
        if self._household.store.reached().get(peer.node.id) != address:
            self._household.store.remember(peer.node.id, *address)
        peer.answered = time.monotonic()
        peer.version = fields.text(said, "version", longest=40, default="")
        peer.words = fields.text(said, "words", longest=200, default="")
        if said.get("digest") != sync.digest(self._household.joined()):
            await sync.with_peer(self._household, peer.client)
        await self._tell_load(peer, peer.client, said.get("load"))

    async def _tell_load(self, peer: _Peer, client: Peer, held: object) -> None:
        """What this node can take on, unless the peer has just that, and what the peer can."""
        if isinstance(held, str) and held != loads.digest(self._loads.mine):
            body = contract.plain(self._loads.mine)
            await client.ask("POST", "/load", body, limit=HEALTH_LIMIT, seconds=HEALTH_S)

    async def _disconnect(self, peer: _Peer) -> None:
        client, peer.client = peer.client, None
        if client is not None:
            await client.close()


def parse(value: object) -> Address | None:
    """``HOST:PORT`` or ``[HOST]:PORT``; ``None`` for anything else."""
    if not isinstance(value, str) or len(value) > 260:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return host.strip("[]"), int(port)


def shown(address: Address) -> str:
    """As :func:`parse` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
