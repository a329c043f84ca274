"""``goni-flash`` as one wheel, for people without a checkout: ``python -m image.flash_wheel``.

Goni's own wheel would bring the whole appliance's dependencies. This one holds ``goni_flash`` and
``goni_core``, wants four packages, and carries the certificate of the key that the images of the
same build are signed with, so that what it flashes is checked without a word more.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from goni_core.errors import GoniError, exit_with
from goni_core.run import run

ROOT = Path(__file__).parents[1]
NEEDS = ("cryptography", "httpx", "pyyaml", "zstandard")
PROJECT = """[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"

[project]
name = "goni-flash"
version = "{version}"
description = "Writes Goni's image to a stick or disk, and checks that it is there"
requires-python = ">=3.11"
license = {{ text = "Apache-2.0" }}
dependencies = [{dependencies}]
scripts = {{ goni-flash = "goni_flash.__main__:main" }}

[tool.setuptools]
packages = ["goni_core", "goni_flash"]

[tool.setuptools.package-data]
goni_flash = ["image.crt"]
"""


def project() -> str:
    """The wheel's pyproject.toml: versions at least those that Goni itself is tested with."""
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(
        pin.split("==") for pin in own["dependencies"] + own["optional-dependencies"]["dev"]
    )
    words = ", ".join(f'"{name}>={pins[name]}"' for name in NEEDS)
    return PROJECT.format(version=own["version"], dependencies=words)


def build(certificate: Path, folder: Path) -> Path:
    """The wheel, made in ``folder``; it trusts ``certificate``'s key."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "pyproject.toml").write_text(project())
        for package in (ROOT / "services/goni_core", ROOT / "goni_flash"):
            shutil.copytree(
                package, place / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copyfile(certificate, place / "goni_flash/image.crt")
        words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        words += ["--no-build-isolation", "--wheel-dir", str(folder.absolute()), str(place)]
        run(words, timeout=300)
    (wheel,) = folder.glob("goni_flash-*.whl")
    return wheel


def main() -> None:
    parser = argparse.ArgumentParser(prog="image.flash_wheel", description="goni-flash as a wheel.")
    parser.add_argument("--certificate", type=Path, default=Path("keys/image.crt"), metavar="FILE")
    parser.add_argument("--output", type=Path, default=Path("out/wheels"), metavar="FOLDER")
    given = parser.parse_args()
    try:
        if not given.certificate.is_file():
            raise GoniError(f"{given.certificate} is not there", hint="make image makes the keys")
        given.output.mkdir(parents=True, exist_ok=True)
        print(build(given.certificate, given.output))
    except GoniError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
