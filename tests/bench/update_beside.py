"""The same pair of /usr by casync and desync: what a node would fetch of their chunks."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from goni_core.run import run
from tests.bench.rows import Row, measured

STORE = {"casync": "--store={}", "desync": "--store={}"}
"""How each program is told where its chunks are kept."""


def rows_of(old: Path, new: Path, ours: int, work: Path) -> list[Row]:
    """Bytes of each program that is installed, and ours against the better one."""
    found = {name: _bytes(name, old, new, work) for name in STORE if shutil.which(name)}
    for name in STORE.keys() - found.keys():
        print(f"  {name} is not measured: apt-get install {name}", file=sys.stderr)
    if not found:
        return []
    rows = [measured(f"the same by {name}", [size], "bytes") for name, size in found.items()]
    better = min(found.values())
    figure = f"bytes of /usr's delta / by the better of {' and '.join(found)}"
    return [*rows, measured(figure, [ours / better], "x", target=0.2)]


def _bytes(name: str, old: Path, new: Path, work: Path) -> int:
    """New chunks in a store that holds the old image's already, and the new index."""
    store = work / f"{name}.store"
    store.mkdir()
    before = _made(name, store, work / f"{name}-old.caibx", old)
    index = work / f"{name}-new.caibx"
    after = _made(name, store, index, new)
    shutil.rmtree(store)
    return after - before + index.stat().st_size


def _made(name: str, store: Path, index: Path, image: Path) -> int:
    run([name, "make", STORE[name].format(store), index, image], timeout=7200)
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
