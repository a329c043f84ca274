"""The boot partition of the new disk: its files, in an order in which a power cut at any moment
leaves either a disk that starts nothing or one that starts Goni.

What firmware looks for comes last (``EFI/BOOT/BOOTX64.EFI``, UEFI specification, section 3.5.1.1):
no entry in the firmware's own memory is needed, so the disk starts in another box too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goni_core import files
from goni_core.errors import GoniError
from goni_core.run import run
from goni_install.running import Running

LOADER = Path("EFI/BOOT/BOOTX64.EFI")
BESIDE = ("EFI/systemd", "loader/keys")
"""Folders that are taken whole; of ``loader`` nothing else but its settings, since the random seed
and what the boot loader noted belong to the stick."""
SETTINGS = Path("loader/loader.conf")
TRIES = "+3"


@contextmanager
def mounted(partition: Path, at: Path, *words: str) -> Iterator[Path]:
    """``partition`` mounted at ``at``, for as long as the block lasts."""
    at.mkdir(parents=True, exist_ok=True)
    run(["mount", *words, partition, at], timeout=120)
    try:
        yield at
    finally:
        run(["umount", at], timeout=300)


def ready(running: Running) -> None:
    """Raise :class:`GoniError` unless all that :func:`fill` takes is there: before anything is
    written, not after.
    """
    for path in (running.uki, running.esp / SETTINGS, running.esp / LOADER):
        if not path.is_file():
            raise GoniError(f"{path} is missing", hint="is the boot partition mounted?")


def forget(esp: Path) -> None:
    """Nothing starts from this boot partition any more."""
    loader = esp / LOADER
    if loader.exists():
        loader.unlink()
        files.sync_folder(loader.parent)
    for uki in sorted(esp.glob("EFI/Linux/*.efi")):
        uki.unlink()
    os.sync()


def fill(running: Running, esp: Path) -> None:
    """The running version's files; then the boot loader."""
    _put(running.uki, esp / "EFI/Linux" / uki_name(running.uki.name))
    for name in BESIDE:
        for path in sorted((running.esp / name).rglob("*")):
            if path.is_file():
                _put(path, esp / path.relative_to(running.esp))
    _put(running.esp / SETTINGS, esp / SETTINGS)
    os.sync()
    _put(running.esp / LOADER, esp / LOADER)
    os.sync()


def uki_name(name: str) -> str:
    """The UKI's name on the new disk: good is good there too, one on trial gets all its tries."""
    plain, plus, _ = name.removesuffix(".efi").partition("+")
    return f"{plain}{TRIES if plus else ''}.efi"


def check(running: Running, esp: Path) -> None:
    """Compare what was put on the boot partition, mounted anew, with what it was taken from."""
    uki = esp / "EFI/Linux" / uki_name(running.uki.name)
    pairs = [(running.uki, uki), (running.esp / LOADER, esp / LOADER)]
    for source, target in pairs:
        if source.read_bytes() != target.read_bytes():
            raise GoniError(f"the disk gives back another {target.name} than was written")


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.incoming(target, mode=0o755) as fresh:
        shutil.copyfile(source, fresh)
