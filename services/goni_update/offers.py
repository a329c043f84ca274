"""What a source offers this node: the trust in it, and the release to take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from goni_core.errors import Conflict, NotFound
from goni_update import catalog, trust, version
from goni_update.catalog import Release
from goni_update.peers import Nearest, Nobody, Peers
from goni_update.source import Folder, Server, Source
from goni_update.state import State
from goni_update.trust import Refused, Trust
from goni_update.version import Version

ADDRESS = "GONI_UPDATES"
"""Environment variable with another server's address."""
NO_SERVER = "this image knows no update server"


@dataclass(frozen=True)
class Places:
    """Where things are on a node; tests have others. ``image`` is /usr's, opened by systemd."""

    folder: Path
    run: Path = Path("/run/goni-update")
    base: Path = Path("/var/lib/goni/update-writer")
    usr: Path = Path("/usr")
    image: int | None = None
    root: Path = trust.ROOT
    release: Path = version.OS_RELEASE
    server: Path = Path("/usr/share/goni/update/server")
    machine: Path = Path("/etc/machine-id")
    sticks: Path = Path("/run/goni/sticks")

    @property
    def address(self) -> str:
        """Of the update server; empty when there is none."""
        return os.environ.get(ADDRESS) or text(self.server)


@dataclass(frozen=True)
class Offer:
    """What was found: where, by which keys, and the release, if there is one for this node."""

    source: Source
    trusted: Trust
    release: Release | None


def look(
    places: Places,
    state: State,
    peers: Peers,
    *,
    folder: Path | None,
    wanted: Version | None,
    clock: datetime,
) -> Offer:
    """The newest release for this node, or the ``wanted`` one, from ``folder`` or the server."""
    try:
        return _looked(places, state, _source(places, peers, folder), wanted, clock)
    except Refused:
        if folder is not None or not peers.sources():
            raise
        # It may be a peer that lies.
        return _looked(places, state, _source(places, Nobody(), None), wanted, clock)


def _looked(
    places: Places, state: State, source: Source, wanted: Version | None, clock: datetime
) -> Offer:
    mirror = places.folder / "mirror"
    mirror.mkdir(exist_ok=True)
    known = [trust.image_date(places.release)]
    if state.checked:
        known.append(datetime.fromisoformat(state.checked))
    now = trust.reference(clock, *known)
    trusted = Trust(places.folder / "tuf", places.root, source, now=now, mirror=mirror)
    trusted.refresh()
    return Offer(source, trusted, _choose(places, state, trusted, wanted))


def _source(places: Places, peers: Peers, folder: Path | None) -> Source:
    if folder is not None:
        if not (folder / "metadata").is_dir():
            raise NotFound(
                "there is no release in that folder", hint="it should hold metadata/, targets/"
            )
        return Folder(folder)
    if not places.address:
        raise Conflict(
            NO_SERVER,
            hint="goni-update apply --from DIR takes a release from a stick",
            code="no_server",
        )
    return Nearest(Server(places.address), peers)


def _choose(places: Places, state: State, trusted: Trust, wanted: Version | None) -> Release | None:
    system = version.running(places.release)
    try:
        listed = trusted.catalog(state.channel, system.variant)
    except NotFound:
        if wanted is None:
            return None
        raise
    if wanted is None:
        node = text(places.machine)
        return catalog.choose(listed, system.version, node=node, failed=state.failed)
    for release in listed.releases:
        if release.version == wanted:
            return release
    raise NotFound(f"{state.channel} doesn't offer {wanted}", code="not_published")


def text(path: Path) -> str:
    """A small file's text; empty when it can't be read."""
    return content(path).decode("utf-8", errors="replace").strip()


def content(path: Path) -> bytes:
    """A small file; empty when it can't be read."""
    try:
        with path.open("rb") as source:
            return source.read(1 << 20)
    except OSError:
        return b""
