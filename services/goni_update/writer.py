"""``goni-update-writer``: the one part of updates that is root. It has no network.

The service, which talks to servers and unpacks what they send, can only leave a request and a
staging area behind. Both are believed as little as a server: the signatures of what is to be
written are checked here again, from the image's root keys and with a memory of this program's own;
what systemd-sysupdate wrote is read back from the disk and compared with the signed root hash; and
only UKIs that were signed reach the ESP.

``report`` says what is in the slots, ``work`` does what ``request.json`` asks: ``write`` or
``rollback``. The result is in ``/run/goni-update/result.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from goni_core import fields, files
from goni_core import log as logs
from goni_core.errors import BadInput, GoniError, exit_with
from goni_core.run import Argument, run
from goni_update import catalog, slots, staging, trust, verity, version
from goni_update.catalog import Release
from goni_update.slots import Slots
from goni_update.source import Folder
from goni_update.trust import Refused, Trust
from goni_update.version import System, Version

log = logging.getLogger(__name__)

SYSUPDATE = ("/usr/lib/systemd/systemd-sysupdate", "--verify=no")
"""It could check signatures by itself, but of GPG; ours are checked before and after."""
UDEV = ("udevadm", "trigger", "--subsystem-match=block")
"""Without --settle: what udev says of its events doesn't reach a unit with PrivateNetwork=."""
UDEV_S = 60
REQUEST_LIMIT = 4096
MINUTES_S = 3600


def _as_it_is(argv: Sequence[Argument]) -> Sequence[Argument]:
    return argv


def by_label(label: str) -> tuple[Path, int]:
    """The partition called ``label``: its device, and at which byte of it the partition begins.
    :class:`GoniError` when there is none.
    """
    link = Path("/dev/disk/by-partlabel") / label
    if not link.exists():  # udev may not have seen yet that sysupdate has renamed it
        run(UDEV, timeout=UDEV_S)
    last = time.monotonic() + UDEV_S
    while not link.exists():
        if time.monotonic() > last:
            raise GoniError(f"the disk has no partition {label}")
        time.sleep(0.2)
    return link, 0


@dataclass(frozen=True)
class Places:
    """Where things are; tests have others. ``words`` completes the call of systemd-sysupdate."""

    esp: Path = Path("/boot/EFI/Linux")
    service: Path = Path("/var/lib/goni/update")
    state: Path = Path("/var/lib/goni/update-writer")
    run: Path = Path("/run/goni-update")
    root: Path = trust.ROOT
    release: Path = version.OS_RELEASE
    partition: Callable[[str], tuple[Path, int]] = by_label
    words: Callable[[Sequence[Argument]], Sequence[Argument]] = _as_it_is


@dataclass(frozen=True)
class Request:
    """What the service wants; ``id`` is repeated in the result."""

    id: str
    action: str
    channel: str
    version: Version | None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    logs.setup()
    parser = argparse.ArgumentParser(
        prog="goni-update-writer", description="Writes verified updates; started by systemd only."
    )
    parser.add_argument("command", choices=("report", "work"))
    given = parser.parse_args(argv)
    try:
        (report if given.command == "report" else work)(Places())
    except GoniError as error:
        exit_with(error)
    return 0


def report(places: Places) -> Slots:
    """Say in ``slots.json`` what the slots hold, and lay the running UKI out for the service, which
    rebuilds the next one from it and can't see the ESP.
    """
    system = version.running(places.release)
    found = slots.read(sorted(path.name for path in places.esp.glob("*.efi")), system.version)
    places.run.mkdir(parents=True, exist_ok=True)
    data = json.dumps(found.plain()).encode()
    files.write(places.run / "slots.json", data, mode=0o644)
    slot = found.of(system.version)
    if slot is not None:
        _lay_out(places.esp / slot.file, places.state, system.version)
    return found


def _lay_out(uki: Path, folder: Path, number: Version) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    files.sweep(folder)
    copy = folder / f"goni_{number}.efi"
    for other in folder.glob("goni_*.efi"):
        if other != copy:
            other.unlink()
    if not copy.exists():
        files.check_room(folder, uki.stat().st_size)
        with files.incoming(copy, mode=0o644) as fresh:
            shutil.copyfile(uki, fresh)


def work(places: Places) -> None:
    """Do what is asked and say how it went."""
    asked = request(_read(places.service / "request.json"))
    words = ""
    try:
        if asked.action == "write":
            write(places, asked)
        else:
            rollback(places)
    except (GoniError, OSError) as error:
        log.warning("%s failed: %s", asked.action, error)
        words = str(error)
    report(places)
    result = {"id": asked.id, "ok": not words, "words": words}
    files.write(places.run / "result.json", json.dumps(result).encode(), mode=0o644)


def request(data: bytes) -> Request:
    """A request; :class:`BadInput` names the field that is wrong."""
    whole = fields.parse(data)
    fields.only(whole, ("id", "action", "channel", "version"))
    action = fields.text(whole, "action")
    if action not in ("write", "rollback"):
        raise BadInput("action must be write or rollback")
    channel = fields.text(whole, "channel", default="stable")
    if channel not in catalog.CHANNELS:
        raise BadInput("channel must be stable or beta")
    number = fields.text(whole, "version", default="")
    if action == "write" and not number:
        raise BadInput("version is missing")
    key = fields.text(whole, "id", longest=64)
    return Request(key, action, channel, version.parse(number) if number else None)


def write(places: Places, asked: Request) -> None:
    """Write the staged version that ``asked`` names into the slot that doesn't run."""
    system = version.running(places.release)
    release = _release(places, asked, system)
    staging.must_be_above(release, system.version)
    staged = places.service / "staged"
    ready = places.run / "staged"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    try:
        name = staging.staged_name(release, "efi")
        _copy_signed(staged / name, ready / name, release)
        _forget_failed(places, release.version)
        number = str(release.version)
        run(places.words([*SYSUPDATE, "update", number]), timeout=MINUTES_S)
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    try:
        _read_back(places, release)
    except (GoniError, OSError):
        _forget(places, release.version)
        raise
    os.sync()
    log.info("version %s is in the other slot", release.version)


def _release(places: Places, asked: Request, system: System) -> Release:
    """The signed release that ``asked`` names, from the copy of the metadata that the service has
    believed.
    """
    now = trust.reference(trust.now(), trust.image_date(places.release))
    source = Folder(places.service / "mirror")
    trusted = Trust(places.state / "tuf", places.root, source, now=now)
    trusted.refresh()
    listed = trusted.catalog(asked.channel, system.variant)
    for release in listed.releases:
        if release.version == asked.version:
            return release
    raise BadInput(f"{asked.channel} has no version {asked.version}")


def _copy_signed(source: Path, target: Path, release: Release) -> None:
    """The UKI, out of the service's reach, and only if it is the signed one."""
    part = release.part("efi")
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as reading:
        data = reading.read(part.bytes + 1)
    if len(data) != part.bytes or hashlib.sha256(data).hexdigest() != part.sha256:
        raise Refused("the staged UKI is not the signed one", code="corrupted")
    target.write_bytes(data)


def _read_back(places: Places, release: Release) -> None:
    """Compare what is on the disk with the signed root hash."""
    device, start = places.partition(f"goni_{release.version}")
    root, tree = verity.tree(device, verity.superblock(release.superblock), start=start)
    if root != release.roothash:
        raise Refused("what was written is not the signed /usr", code="corrupted")
    device, start = places.partition(f"goni_{release.version}_verity")
    with device.open("rb") as source:
        source.seek(start)
        if source.read(len(tree)) != tree:
            raise Refused("what was written is not the hash tree of /usr", code="corrupted")


def rollback(places: Places) -> None:
    """Have the boot loader take the other version from the next boot on: the running one counts as
    given up.
    """
    found = report(places)
    slots.to_go_back_to(found)
    slot = found.of(found.running)
    if slot is None:
        raise GoniError("the running version has no UKI in the ESP")
    bare = slot.file.partition("+")[0].removesuffix(".efi")
    (places.esp / slot.file).rename(places.esp / f"{bare}+0-0.efi")
    files.sync_folder(places.esp)


def _forget_failed(places: Places, number: Version) -> None:
    """Make room for a version that was given up before and is wanted again: for sysupdate it would
    be installed.
    """
    found = slots.read((path.name for path in places.esp.glob("*.efi")), number).of(number)
    if found is not None and found.state == slots.FAILED:
        _forget(places, number)


def _forget(places: Places, number: Version) -> None:
    """Remove the UKI of ``number``, without which nothing boots it."""
    for path in places.esp.glob(f"goni_{number}_x86-64*.efi"):
        path.unlink()
    files.sync_folder(places.esp)


def _read(path: Path) -> bytes:
    """A small file of the service's, which may be anything but what it should be."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as source:
        data = source.read(REQUEST_LIMIT + 1)
    if len(data) > REQUEST_LIMIT:
        raise BadInput("the request is too long")
    return data
