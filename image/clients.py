"""Install what only the tests need: ``python -m image.clients``, after ``image.setup``.

Other people's clients, by which the front door is tested: a browser from Debian, OpenAI's client
for Node and axe-core (accessibility) from npm, and the command-line client ``llm`` in an
environment of its own, since it wants other versions of the packages in ``.venv``. Does nothing
twice.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from goni_core import files
from goni_core.errors import GoniError, exit_with
from goni_core.run import run, stream
from image.setup import install_packages

PACKAGES = ("chromium", "dbus-daemon")
PROGRAMS = {"node": "nodejs", "npm": "npm"}
"""What must be on the PATH, and Debian's package for it. Not asked by package, since Node is often
there from elsewhere, and then npm comes with it."""
LLM = Path("out/cache/llm")
LLM_PIN = "llm==0.36"
NODE = Path("out/cache/node")
NODE_PIN = "openai@6.9.0"
"""It has no dependencies, so that this pins all there is. Its authors support Node 20 and newer; it
passes on Debian 12's 18 too."""
AXE = Path("out/cache/axe")
AXE_PIN = "axe-core@4.14.1"
AXE_SCRIPT = AXE / "node_modules/axe-core/axe.min.js"


def make_llm() -> None:
    """``llm`` in :data:`LLM`."""
    stamp = LLM / "goni-key"
    key = f"{LLM_PIN} {sys.version}"
    if stamp.exists() and stamp.read_text() == key:
        return
    _says(LLM_PIN)
    LLM.parent.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "venv", "--clear", LLM], timeout=300)
    stream([LLM / "bin/python", "-m", "pip", "install", "--quiet", LLM_PIN], timeout=900)
    files.write(stamp, key.encode())


def make_node() -> None:
    """OpenAI's client for Node in :data:`NODE`."""
    _from_npm(NODE, NODE_PIN)


def make_axe() -> None:
    """axe-core, which finds what keeps people out of a page, in :data:`AXE`."""
    _from_npm(AXE, AXE_PIN)


def _from_npm(folder: Path, pin: str) -> None:
    stamp = folder / "goni-key"
    if stamp.exists() and stamp.read_text() == pin:
        return
    _says(pin)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    stream(["npm", "install", "--prefix", folder, *quiet, pin], timeout=900)
    files.write(stamp, pin.encode())


def _says(pin: str) -> None:
    print(f"clients: installing {pin} for the tests", file=sys.stderr)


def main() -> None:
    try:
        missing = [name for program, name in PROGRAMS.items() if not shutil.which(program)]
        install_packages([*PACKAGES, *missing])
        make_llm()
        make_node()
        make_axe()
    except GoniError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
