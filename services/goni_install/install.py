"""From the stick onto a disk: partitions and root by systemd-repart, slot A by blocks, boot last.

Until the very end nothing starts from the disk, so that a power cut, a stick that is pulled out or
a disk that fails leave a box that starts from the stick again. What was written is read back: /usr
against the root hash that the running kernel was signed with, the rest by comparing.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from goni_core.disks import present
from goni_core.errors import Conflict, GoniError
from goni_core.progress import Monitor
from goni_core.run import Argument, run
from goni_install import blocks, boot, candidates, definitions, keys, table
from goni_install.candidates import Candidate
from goni_install.running import Running
from goni_install.table import Slot, Table

WORK = Path("/run/goni-install")
REPART_S = 1800
VERIFY_S = 3600
EMPTY = "_empty"


def disks(running: Running) -> list[Candidate]:
    """Every disk of this box, as a candidate."""
    least = definitions.least(definitions.texts(running))
    return [
        candidates.judge(disk, table.read(Path(disk.path)), running.disk, least)
        for disk in present()
        if disk.kind == "disk" and not Path(disk.path).name.startswith(("zram", "ram"))
    ]


def install(running: Running, candidate: Candidate, monitor: Monitor, *, keep: bool) -> None:
    """Make the disk of ``candidate`` a Goni that starts without the stick; with ``keep`` the Goni
    that is on it keeps its data.

    Raises :class:`Conflict` while another installation runs, :class:`GoniError` with what failed.
    """
    disk = Path(candidate.disk.path)
    if keep and not candidate.table.has_data:
        raise Conflict(f"{disk} holds no Goni with data to keep", hint="install without keeping")
    boot.ready(running)
    with _alone(), tempfile.TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        if keep:
            made = _clear(running, disk, candidate.table, folder)
        else:
            made = _partition(running, disk, folder, monitor)
        _slot(running, made, monitor)
        _boot(running, made, folder, monitor)


@contextmanager
def _alone() -> Iterator[None]:
    WORK.mkdir(mode=0o700, parents=True, exist_ok=True)
    with WORK.joinpath("lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict("an installation is running already", code="busy") from error
        yield


def _partition(running: Running, disk: Path, folder: Path, monitor: Monitor) -> Table:
    """A new table with everything but the slot's content; the root gets its keys."""
    monitor.say(f"making partitions on {disk}")
    monitor.phase("prepare", 1)
    texts = definitions.texts(running)
    place = folder / "repart.d"
    place.mkdir()
    definitions.write(texts, place)
    with keys.fresh(folder) as key:
        blocks.blank(disk)
        run(repart(running, disk, place, key), timeout=REPART_S)
        table.settle()
        made = table.read(disk)
        (root,) = made.of(table.ROOT)
        with (
            keys.opened(root.node, key, "goni-install") as device,
            boot.mounted(device, folder / "root") as mounted,
        ):
            keys.keep(key, mounted)
    monitor.advance(1)
    return made


def repart(running: Running, disk: Path, place: Path, key: Path) -> list[Argument]:
    """systemd-repart's words for an empty disk."""
    words: list[Argument] = ["systemd-repart", "--dry-run=no", "--empty=force", "--seed=random"]
    words += [f"--definitions={place}", f"--key-file={key}"]
    return [*words, *(keys.PCRS if running.tpm else ()), disk]


def _clear(running: Running, disk: Path, before: Table, folder: Path) -> Table:
    """Make a Goni disk start nothing, and name slot A for the running version."""
    (esp,) = before.of(table.ESP)
    with boot.mounted(esp.node, folder / "esp", "-t", "vfat") as mounted:
        boot.forget(mounted)
    first, *others = before.slots
    for slot in others:
        for part in (slot.usr, slot.verity, slot.signature):
            table.rename(disk, part, label=EMPTY, uuid=str(uuid.uuid4()))
    table.rename(disk, first.usr, label=running.label, uuid=running.usr_uuid)
    table.rename(disk, first.verity, label=f"{running.label}_verity", uuid=running.verity_uuid)
    table.rename(disk, first.signature, label=f"{running.label}_verity_sig")
    table.settle()
    return table.read(disk)


def _slot(running: Running, made: Table, monitor: Monitor) -> None:
    """Copy the running slot, and check the copy against the signed root hash."""
    slot = made.slots[0]
    sizes = {
        (running.usr, slot.usr.node): blocks.data_size(running.verity),
        (running.verity, slot.verity.node): blocks.size_of(running.verity),
        (running.signature, slot.signature.node): blocks.size_of(running.signature),
    }
    monitor.phase("copy", sum(sizes.values()))
    for (source, target), size in sizes.items():
        blocks.copy(source, target, size, monitor)
    monitor.phase("verify", 1)
    verify(slot, running.roothash)
    monitor.advance(1)


def verify(slot: Slot, roothash: str, *, work: Callable[..., object] = run) -> None:
    """Read the whole of ``slot`` back and check it; :class:`GoniError` when the disk lies."""
    try:
        work(["veritysetup", "verify", slot.usr.node, slot.verity.node, roothash], timeout=VERIFY_S)
    except GoniError as error:
        raise GoniError(
            "the disk gives back something else than was written",
            hint="take another disk",
            code="disk_lies",
        ) from error


def _boot(running: Running, made: Table, folder: Path, monitor: Monitor) -> None:
    (esp,) = made.of(table.ESP)
    monitor.phase("boot", 1)
    with boot.mounted(esp.node, folder / "esp", "-t", "vfat") as mounted:
        boot.fill(running, mounted)
    with boot.mounted(esp.node, folder / "esp", "-t", "vfat", "-o", "ro") as mounted:
        boot.check(running, mounted)
    os.sync()
    monitor.advance(1)
