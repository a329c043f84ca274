"""The answers that came on the stick: ``goni.yaml`` on the boot partition (``goni_core.preseed``).

Read once, at the first boot on which it is there; before anything is done it is taken off the
stick, so that nothing is done twice and nothing stays there to be read. What the setup page asks is
left for it in ``/run/goni/preseed.json``; network and time zone are set; an installation that it
asks for is done without a question, and the rest goes along to the new disk.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from goni_core import files, preseed
from goni_core.errors import GoniError
from goni_core.preseed import Network, Preseed
from goni_core.progress import Monitor
from goni_core.run import run
from goni_install import boot, candidates, install, running, table

log = logging.getLogger(__name__)

ASKED = ("node_name", "owner", "language")
"""What the setup page asks for."""
NETWORK = """\
# From goni.yaml, at setup.
[Match]
Type=ether

[Network]
Address={address}
MulticastDNS=yes
LLMNR=no
"""


@dataclass(frozen=True)
class Places:
    """Where the answers are found, and where they go."""

    esp: Path = Path("/boot")
    run: Path = Path("/run/goni")
    etc: Path = Path("/etc")
    zones: Path = Path("/usr/share/zoneinfo")


def work(places: Places, monitor: Monitor) -> bool:
    """Do what the stick asks; whether Goni was installed to another disk. Trouble is told to the
    setup page and not raised: a bad answer must not keep the box from starting.
    """
    try:
        found = take(places.esp)
    except GoniError as error:
        log.warning("goni.yaml was not taken: %s", error)
        tell(Preseed(), str(error), places.run)
        return False
    if found is None:
        return False
    trouble = ""
    try:
        if found.install:
            _install(found, monitor)
            return True
    except GoniError as error:
        log.warning("goni.yaml: nothing was installed: %s", error)
        trouble = str(error)
    if found.network:
        set_network(found.network, places.etc)
    if found.time_zone:
        set_zone(found.time_zone, places)
    tell(found, trouble, places.run)
    return False


def take(esp: Path) -> Preseed | None:
    """What the stick's file says, which is removed; None without one. :class:`BadInput` names what
    is wrong with it (it is removed then too).
    """
    path = esp / preseed.FILE
    try:
        with path.open("rb") as source:
            data = source.read(preseed.LIMIT + 1)
    except FileNotFoundError:
        return None
    _wipe(path)
    return preseed.parse(data)


def _wipe(path: Path) -> None:
    """FAT leaves a removed file's content where it was: write over it first."""
    with path.open("r+b") as target:
        target.write(bytes(path.stat().st_size))
        target.flush()
        os.fsync(target.fileno())
    path.unlink()
    files.sync_folder(path.parent)


def _install(found: Preseed, monitor: Monitor) -> None:
    assert found.install
    now = running.look()
    candidate = candidates.find(found.install.disk, install.disks(now))
    keep = found.install.keep_data and candidate.table.has_data
    install.install(now, candidate, monitor, keep=keep)
    if not keep:
        (esp,) = table.read(Path(candidate.disk.path)).of(table.ESP)
        with boot.mounted(esp.node, install.WORK / "esp", "-t", "vfat") as mounted:
            leave(found, mounted)


def leave(found: Preseed, esp: Path) -> None:
    """Put what remains to be answered on another disk's boot partition, for its first boot."""
    rest = asdict(replace(found, install=None))
    if found.network:
        rest["network"] = {k: v for k, v in asdict(found.network).items() if v}
        rest["network"]["dns"] = list(found.network.dns)
    plain = {name: value for name, value in rest.items() if value}
    if plain:
        files.write(esp / preseed.FILE, yaml.safe_dump(plain).encode())


def set_network(network: Network, etc: Path) -> None:
    """A systemd.network(5) file for a fixed address, before the image's own."""
    text = NETWORK.format(address=network.address)
    text += f"Gateway={network.gateway}\n" if network.gateway else ""
    text += "".join(f"DNS={one}\n" for one in network.dns)
    folder = etc / "systemd/network"
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "70-goni-preseed.network", text.encode(), mode=0o644)
    run(["networkctl", "reload"], timeout=60, check=False)


def set_zone(zone: str, places: Places) -> None:
    """localtime(5); the schema has checked the name."""
    link = places.etc / "localtime"
    fresh = places.etc / ".localtime.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(places.zones / zone)
    fresh.replace(link)


def tell(found: Preseed, trouble: str, folder: Path) -> None:
    """Leave the answers for the setup page, with what went wrong, in words."""
    said = {name: getattr(found, name) for name in ASKED} | {"trouble": trouble}
    files.write(folder / "preseed.json", json.dumps(said).encode(), mode=0o644)
