"""mkosi itself: the host's when it is new enough, else trixie's, fetched and verified through apt.

mkosi is pure Python and runs from an unpacked package. The package is downloaded with a private
sources list and apt's own signature checks against Debian's keyring; the host's configuration and
package database stay as they are.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from goni_core.errors import GoniError
from goni_core.run import run
from image import mirror

LEAST = (25, 3)
CACHE = Path("out/cache/mkosi")


def version(text: str) -> tuple[int, int]:
    """``mkosi 25.3`` -> (25, 3)."""
    match = re.search(r"(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def command() -> list[str]:
    """The words that start mkosi."""
    if on_path := shutil.which("mkosi"):
        said = run([on_path, "--version"], timeout=30, check=False)
        if said.returncode == 0 and version(said.text) >= LEAST:
            return [on_path]
    return [sys.executable, "-P", str(_entry("mkosi"))]


def sandbox_command() -> list[str]:
    """The words that start mkosi-sandbox, mkosi's own unprivileged container tool."""
    if command()[0].endswith("mkosi") and (on_path := shutil.which("mkosi-sandbox")):
        return [on_path]
    # As a file and not a module: it is meant to start fast and imports nothing of mkosi's.
    return [sys.executable, "-SP", str(package() / "mkosi/sandbox.py")]


def package() -> Path:
    """The folder with mkosi's Python package, fetched on first use."""
    unpacked = CACHE / "unpacked/usr/lib/python3/dist-packages"
    if not unpacked.exists():
        fetch()
    return unpacked.absolute()


def _entry(name: str) -> Path:
    """A start script for the unpacked package, since it isn't installed anywhere."""
    script = package() / f"{name}.start.py"
    if not script.exists():
        script.write_text(
            "import runpy, sys\n"
            f"sys.path.insert(0, {str(package())!r})\n"
            "runpy.run_module('mkosi', run_name='__main__')\n"
        )
    return script


def apt_options(root: Path) -> Sequence[str]:
    """Options that make apt work below ``root`` only."""
    return (
        "-o", f"Dir::Etc::SourceList={root}/sources.list",
        "-o", f"Dir::Etc::SourceParts={root}/sources.list.d",
        "-o", f"Dir::State::Lists={root}/lists",
        "-o", f"Dir::Cache={root}/cache",
        "-o", "Dir::State::status=/dev/null",
        "-o", "APT::Sandbox::User=",
        "-o", "Acquire::Languages=none",
    )  # fmt: skip


def fetch() -> None:
    """Download, verify and unpack trixie's mkosi below :data:`CACHE`."""
    print("mkosi: fetching Debian's (signature checked by apt)", file=sys.stderr)
    root = CACHE.absolute() / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "sources.list.d"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    text = mirror.sources(mirror.host_mirror())
    (root / "sources.list.d/goni.sources").write_text(text)
    (root / "sources.list").write_text("")
    if not mirror.KEYRING.exists():
        raise GoniError(
            "Debian's archive keyring is not installed",
            hint="apt-get install debian-archive-keyring",
        )
    options = apt_options(root)
    try:
        run(["apt-get", *options, "update"], timeout=600)
        run(["apt-get", *options, "download", "mkosi"], timeout=600, cwd=root)
    except GoniError as error:
        raise GoniError(
            f"could not fetch mkosi from Debian: {error.message}",
            hint="check the network and this machine's apt mirror (apt-get update)",
        ) from error
    found = sorted(root.glob("mkosi_*_all.deb"))
    if not found:
        raise GoniError("apt fetched no mkosi package")
    part = CACHE / "unpacked.part"
    shutil.rmtree(part, ignore_errors=True)
    run(["dpkg-deb", "-x", found[-1].absolute(), part.absolute()], timeout=60)
    part.rename(CACHE / "unpacked")
