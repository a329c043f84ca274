"""``goni-mesh serve``: the household's side of this node, on its socket, the channel and, while a
node is expected, the pairing port.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime

from starlette.applications import Starlette

from goni_core import paths
from goni_core.serve import Listener, serve, unix_or_inherited
from goni_mesh import api, channel, channel_api, identity, pairing_api
from goni_mesh.discovery import Announcement, Discovery, own_addresses
from goni_mesh.household import Household
from goni_mesh.loads import Loads
from goni_mesh.pairing import Pairing
from goni_mesh.peers import Peers
from goni_mesh.ports import Port

RENEWAL_DAYS = 30
"""After so many the channel is opened anew, with a new certificate where one is needed."""

LOOK_S = 15.0
"""Seconds between two looks at the web page's certificate."""


@dataclass(frozen=True)
class Settings:
    """Where strangers and peers reach this node, and whether it says so on the network."""

    host: str
    port: int
    pairing_port: int
    discovery: bool


async def run(settings: Settings, today: Callable[[], datetime]) -> None:
    """Serve until SIGTERM, with the state and socket that the environment names."""
    household = Household(paths.state_dir("mesh"))
    guard = channel.Guard(household)
    known = Loads()
    peers = Peers(household, settings.port, today, known)
    pairing = Pairing(household, settings.port)
    channels = functools.partial(channel_api.application, household, peers.asked, known)
    members = _channel_port(settings, household, guard, channels, today)
    strangers = Port(
        settings.host,
        settings.pairing_port,
        pairing.tidy,
        lambda listening: Listener(pairing_api.application(pairing), listening),
    )
    about = functools.partial(_about, settings, household, pairing)
    discovery = Discovery(about, peers.heard, peers.left)
    household.changed += [
        members.changed.set,
        discovery.changed.set,
        lambda: _renew(household, today()),
    ]

    def door_changed() -> None:
        strangers.changed.set()
        discovery.changed.set()

    mesh = api.Mesh(
        household, peers, pairing, settings.pairing_port, door_changed, discovery.nearby
    )
    work = [members.keep(), strangers.keep(), known.keep(), _keep_renewing(household, today)]
    work += [discovery.keep()] if settings.discovery else []
    listening = unix_or_inherited("mesh", paths.mesh_socket())
    try:
        async with peers.running(), _beside(*work):
            await serve([Listener(api.application(mesh), listening)])
    finally:
        household.close()


def _about(settings: Settings, household: Household, pairing: Pairing) -> Announcement:
    waits = pairing.tidy()
    member = household.state == "member"
    now = household.roster
    return Announcement(
        household.node.id,
        ("inviting" if waits else "member") if member else ("waiting" if waits else "alone"),
        now.household if now and member else "",
        channel_api.VERSION,
        settings.port,
        settings.pairing_port,
    )


def _renew(household: Household, today: datetime) -> None:
    """The web page's certificate, by whoever issues it now."""
    identity.ensure(
        household.folder,
        socket.gethostname(),
        today,
        household.issuer(),
        own_addresses(),
    )


async def _keep_renewing(household: Household, today: Callable[[], datetime]) -> None:
    """Also when the node got another name or address, or simply ran for years."""
    while True:
        _renew(household, today())
        await asyncio.sleep(LOOK_S)


def _channel_port(
    settings: Settings,
    household: Household,
    guard: channel.Guard,
    application: Callable[[], Starlette],
    today: Callable[[], datetime],
) -> Port:
    def listener(listening: socket.socket) -> Listener:
        tls = channel.context(ssl.PROTOCOL_TLS_SERVER)
        channel.arm(tls, household, today())
        return Listener(application(), listening, tls=tls, guard=guard)

    def wanted() -> object:
        if household.state != "member":
            return None
        return household.joined().household, household.node.id, today().toordinal() // RENEWAL_DAYS

    return Port(settings.host, settings.port, wanted, listener)


@contextlib.asynccontextmanager
async def _beside(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run coroutines beside the block; one that fails is a bug, and ends the service."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()
