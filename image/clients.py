"""Install what only the tests need: ``python -m image.clients``, after ``image.setup``.

Other people's clients, by which the front door is tested: a browser from Debian, and the
command-line client ``llm`` in an environment of its own, since it wants other versions of the
packages in ``.venv``. Does nothing twice.
"""

from __future__ import annotations

import sys
from pathlib import Path

from goni_core import files
from goni_core.errors import GoniError, exit_with
from goni_core.run import run, stream
from image.setup import install_packages

PACKAGES = ("chromium",)
LLM = Path("out/cache/llm")
LLM_PIN = "llm==0.36"


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


def _says(pin: str) -> None:
    print(f"clients: installing {pin} for the tests", file=sys.stderr)


def main() -> None:
    try:
        install_packages(PACKAGES)
        make_llm()
    except GoniError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
