"""Prepare this machine: ``python3 -m image.setup`` (``make setup``).

Flow: Debian packages -> ``.venv`` pinned to what the image carries -> the engine, CPU only -> the
embedding model. Runs on Python's standard library alone and does nothing twice; asks nothing,
but sudo may ask for its password.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from goni_core import files
from goni_core.contract import EMBEDDING_FILE
from goni_core.errors import GoniError, exit_with
from goni_core.run import run, shown, stream

VENV = Path(".venv")
PACKAGES = (
    "bmap-tools",
    "ca-certificates",
    "cmake",
    "curl",
    "debian-archive-keyring",
    "fonts-dejavu-core",
    "g++",
    "libseccomp2",
    "libsystemd-dev",
    "litmus",
    "mtools",
    "ninja-build",
    "openssl",
    "pkg-config",
    "poppler-data",
    "poppler-utils",
    "python3-venv",
    "python3-dev",
    "tesseract-ocr",
    "tesseract-ocr-deu",
    "tesseract-ocr-eng",
    "uidmap",
    "zstd",
)
"""What a build host needs from Debian; the rest is in the tools tree or in ``.venv``, and what only
tests need in ``image.clients``."""
LEAST_PYTHON = (3, 11)
ROOM = 4 << 30
"""Bytes that ``.venv``, the engine and its build take; an image takes more (``image.build``)."""
MODEL = Path("out/models") / EMBEDDING_FILE


def check_room() -> None:
    """Refuse what would fail half-way, where the reason would be hard to see."""
    here = Path.cwd()
    for place in (here, here / "out", VENV):
        if place.exists() and not os.access(place, os.W_OK):
            raise GoniError(
                f"{place} is not writable", hint="run as the user who owns the checkout"
            )
    free = shutil.disk_usage(here).free
    if free < ROOM and not (VENV / "goni-key").exists():
        raise GoniError(
            f"{free / (1 << 30):.1f} GiB free in {here}, setting up takes {ROOM >> 30} GiB",
            hint="free some disk space",
        )


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` that aren't installed."""
    argv = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\\n", *packages]
    listed = run(argv, timeout=60, check=False).text.splitlines()
    installed = {line.split()[0] for line in listed if line.endswith(" installed")}
    return [name for name in packages if name not in installed]


def install_packages(packages: Sequence[str]) -> None:
    """Install those of Debian's ``packages`` that are missing, as root or through sudo."""
    wanted = missing_packages(packages)
    if not wanted:
        return
    words = ["apt-get", "install", "--yes", "--no-install-recommends", *wanted]
    hint = f"run: sudo {shown(['apt-get', 'install', *wanted])}"
    prefix = _as_root()
    if prefix is None:
        raise GoniError(f"packages are missing: {' '.join(wanted)}", hint=hint)
    print(f"setup: installing {' '.join(wanted)}", file=sys.stderr)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run([*prefix, "apt-get", "update"], timeout=600, env=quiet)
        run([*prefix, *words], timeout=1800, env=quiet)
    except GoniError as error:
        raise GoniError(f"could not install packages: {error.message}", hint=hint) from error


def _as_root() -> list[str] | None:
    """The words before a command that needs root; None when there is no way to be root."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    if run([sudo, "-n", "true"], timeout=30, check=False).returncode == 0:
        return [sudo, "-n"]
    # sudo itself asks on the terminal, where there is somebody to answer.
    return [sudo] if sys.stdin.isatty() else None


def make_venv() -> None:
    """``.venv`` with the pinned packages; untouched while pyproject.toml is the same."""
    stamp = VENV / "goni-key"
    key = hashlib.sha256(Path("pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return
    print("setup: making .venv", file=sys.stderr)
    project = tomllib.loads(Path("pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    try:
        run([sys.executable, "-m", "venv", "--clear", VENV], timeout=300)
        pip = [str(VENV / "bin/python"), "-m", "pip", "install", "--quiet"]
        stream([*pip, *project["build-system"]["requires"], *wanted], timeout=1800)
        stream([*pip, "--no-deps", "--no-build-isolation", "--editable", "."], timeout=300)
    except GoniError as error:
        raise GoniError(
            f"could not make .venv: {error.message}",
            hint="check the network and pip's configuration (pip config list)",
        ) from error
    files.write(stamp, key.encode())


def main() -> None:
    if sys.version_info < LEAST_PYTHON:
        exit_with(GoniError("Python 3.11 or newer is needed", hint="use Debian 12 or newer"))
    try:
        check_room()
        install_packages(PACKAGES)
        make_venv()
        # From here on with the packages that .venv holds.
        python = VENV / "bin/python"
        words = ["--target", "host", "--output", "out/engine/host", "--link-into", str(VENV)]
        stream([python, "-m", "image.engine", *words], timeout=5400)
        stream([python, "-m", "image.embedding", "--output", MODEL], timeout=900)
    except GoniError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
