"""How long ``make image`` takes after a one-line change to a Python file, on the real tree.

A comment line is added to a file of goni_core, which every service imports, and taken away again;
each is a one-line change and is followed by a build, so that the image at the end is the tree's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from goni_core import files
from goni_core.run import stream
from tests.bench.rows import Row, measured

CHANGED = Path("services/goni_core/__init__.py")
LINE = b"# make bench-image wrote this line and takes it away again.\n"
TARGET = 60.0


def make_image() -> None:
    """``make image PROFILE=minimal``, as a person types it."""
    # Whatever a surrounding make was told stays there.
    alone = {"MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": "0", "MAKEOVERRIDES": ""}
    words = ["make", "--no-print-directory", "image", "PROFILE=minimal"]
    stream(words, timeout=7200, env=alone)


def row(*, changed: Path = CHANGED, build: Callable[[], None] = make_image) -> Row:
    """The row of two builds, after ``changed`` got a line and after it lost it."""
    before, mode = changed.read_bytes(), changed.stat().st_mode & 0o777
    samples = []
    try:
        files.write(changed, before + LINE, mode=mode)
        samples.append(_seconds(build))
    finally:
        files.write(changed, before, mode=mode)
    samples.append(_seconds(build))
    cores = os.cpu_count() or 1
    figure = f"make image after a one-line Python change ({cores} cores)"
    return measured(figure, samples, "s", target=TARGET)


def _seconds(build: Callable[[], None]) -> float:
    begun = time.monotonic()
    build()
    return time.monotonic() - begun
