"""Files that a hash-locked requirements file names: fetched by pip, checked again here.

pip does the fetching so that a person's own pip configuration (mirrors, proxies, certificates)
counts, and no registry is named anywhere. What comes out of :func:`find` has the lock's SHA-256,
whoever put it into the folder. Nothing is installed and no dependency is followed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import DiskFull, GoniError, Unavailable
from goni_core.run import run

PIN = re.compile(r"([\w.-]+)==(\S+)\s+--hash=sha256:([0-9a-f]{64})")
OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError"
    r"|No matching distribution|Network is unreachable|Could not fetch URL"
)


@dataclass(frozen=True)
class Pin:
    """One line of a lock: a package, its version, and the SHA-256 of the one file allowed."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def pins(lock: str) -> tuple[Pin, ...]:
    """The pins of a lock file's text; :class:`GoniError` when a line is anything else."""
    lines = [line.strip() for line in lock.replace("\\\n", " ").splitlines()]
    found = [PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    if not found or None in found:
        raise GoniError("a lock file holds lines of name==version --hash=sha256:… and no other")
    return tuple(Pin(*match.groups()) for match in found if match)


def fetch(lock: Path, folder: Path, *, backend: Path | None = None) -> None:
    """Have pip download what ``lock`` names into ``folder``, unless it is there already.

    ``backend`` is a folder with the build backend of those packages that are source
    distributions: pip insists on asking it for their metadata.
    """
    wanted = pins(lock.read_text())
    if len(_present(wanted, folder)) == len(wanted):
        return
    if importlib.util.find_spec("pip") is None:
        raise GoniError("pip is not installed", hint="apt-get install python3-pip")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"fetching {', '.join(map(str, wanted))}", file=sys.stderr)
    done = run(
        [*_pip_download(wanted, sdist=backend is not None), "--requirement", lock.absolute()],
        cwd=folder,
        env={"PYTHONPATH": os.fspath(backend.absolute())} if backend else None,
        timeout=1800,
        check=False,
    )
    if done.returncode != 0:
        raise blame(", ".join(map(str, wanted)), done.stderr.decode(errors="replace"))


def _pip_download(wanted: Sequence[Pin], *, sdist: bool) -> list[str]:
    form = "--no-binary" if sdist else "--only-binary"
    names = ",".join(pin.name for pin in wanted)
    words = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    words += ["--no-deps", "--require-hashes", "--no-build-isolation", form, names]
    return [*words, "--dest", "."]


def blame(what: str, said: str) -> GoniError:
    """Why pip failed to fetch ``what``, from what it ``said``."""
    if "DO NOT MATCH THE HASHES" in said:
        return GoniError(
            f"{what}: the file offered is not the one in the lock; it was not used",
            hint="check the package mirror in pip's configuration (pip config list)",
            code="bad_hash",
        )
    if "No space left on device" in said:
        return DiskFull(f"no room to fetch {what}", hint="free some disk space and try again")
    if OFFLINE.search(said):
        return Unavailable(
            f"{what} could not be fetched",
            hint="check the network, and pip's configuration (pip config list)",
        )
    last = said.strip().splitlines()[-1:] or ["it gave no reason"]
    return GoniError(f"pip could not fetch {what}: {last[0]}")


def find(lock: Path, folder: Path) -> dict[str, Path]:
    """The file of each package that ``lock`` names, by its SHA-256, not by its name."""
    wanted = pins(lock.read_text())
    present = _present(wanted, folder)
    for pin in wanted:
        if pin.name not in present:
            raise GoniError(f"no file with the locked hash of {pin} in {folder}", code="bad_hash")
    return present


def unpack_wheels(lock: Path, sources: Path, folder: Path) -> None:
    """Unpack the wheels that ``lock`` names: pure Python ones need no more to be imported."""
    for wheel in find(lock, sources).values():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def _present(wanted: Sequence[Pin], folder: Path) -> dict[str, Path]:
    names = {pin.sha256: pin.name for pin in wanted}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file():
            with path.open("rb") as source:
                digest = hashlib.file_digest(source, "sha256").hexdigest()
            if digest in names:
                found[names[digest]] = path
    return found
