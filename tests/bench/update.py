"""What an update costs: bytes, time, memory: ``python -m tests.bench.update``.

The pair is real up to the change: the built minimal image's /usr is unpacked, a few Python files of
Goni and the version are changed as a release would, and the next /usr is made of it. Writes
``out/bench/update.json`` and prints the table. Not measured here: a pair with Debian's updates,
casync and desync, and households.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from goni_core.errors import GoniError, exit_with
from goni_core.run import run
from goni_update import rebuild, staging, tree, verity, version
from goni_update.tree import Entry
from image import build
from image.build import step
from image.release import bundle, delta
from image.release.delta import Unpacked
from image.tools import in_tree
from tests.bench import rows
from tests.bench.rows import Row, measured

BENCH = "update"
CHANGED = ("goni_gateway/pages.py", "goni_update/health.py", "goni_core/http.py")
SITE = "lib/python3/dist-packages"
SIGNATURE = 2048
"""Bytes of a UKI's signature, which is another one each time."""
EXAMPLES = """examples:
  make bench-update
  python -m tests.bench.update --runs 1
"""


@dataclass(frozen=True)
class Pair:
    """Two versions' /usr and UKI as files."""

    old_usr: Path
    new_usr: Path
    old_efi: Path
    new_efi: Path


def measure(runs: int) -> list[Row]:
    """Every row, in the order in which they are shown."""
    with tempfile.TemporaryDirectory(dir=build.OUT) as folder:
        work = Path(folder)
        with step("a pair of releases that differ in some Python"):
            made = pair(work)
        with step("deltas and whole files"):
            sizes = packed(made, work)
        with step(f"applied, {runs} times"):
            applied = [apply(made, work) for _ in range(runs)]
            whole = [unpack_whole(made, work) for _ in range(runs)]
    small, full = sizes["usr.delta"] + sizes["efi.delta"], sizes["usr"] + sizes["efi"]
    return [
        measured("bytes of a Python-only release / full", [small / full], "x", target=0.01),
        measured("the same, bytes of the deltas", [small], "bytes"),
        measured("the same, bytes of the full update", [full], "bytes"),
        measured(
            "time to rebuild /usr by delta / to unpack it whole",
            [one.seconds / two for one, two in zip(applied, whole, strict=True)],
            "x",
            target=2.0,
        ),
        measured("time to rebuild /usr by delta", [one.seconds for one in applied], "s"),
        measured(
            "peak memory to rebuild /usr by delta",
            [one.memory for one in applied],
            "bytes",
            target=1.5e9,
        ),
    ]


def pair(work: Path) -> Pair:
    """The built minimal image and its next release."""
    number = version.parse(build.version())
    image = bundle.image_at(build.OUT / build.output_name("minimal", str(number)), number)
    old = work / "old.erofs"
    bundle.copy(image.files["usr"], old, image.usr_bytes)
    with delta.unpacked(old, work) as before:
        new = next_usr(before, work / "new.erofs", work)
    efi = image.files["efi"].read_bytes()
    fresh = verity.tree(new, _head(image.head, new))[0].encode()
    changed = efi.replace(image.roothash.encode(), fresh)
    if changed == efi:
        raise GoniError("the UKI doesn't hold the root hash of its /usr")
    new_efi = work / "new.efi"
    new_efi.write_bytes(changed[:-SIGNATURE] + os.urandom(SIGNATURE))
    return Pair(old, new, image.files["efi"], new_efi)


def _head(head: verity.Superblock, usr: Path) -> verity.Superblock:
    return replace(head, blocks=usr.stat().st_size // verity.BLOCK)


def next_usr(before: Unpacked, target: Path, work: Path) -> Path:
    """/usr with a comment in some of Goni's files, another version, and new times on them."""
    now = time.time_ns()
    fresh: dict[str, bytes] = {}
    for path in changed_paths(before.entries):
        data = (before.folder / path).read_bytes()
        fresh[path] = _changed(path, data)
    entries = [
        replace(entry, size=len(fresh[entry.path]), mtime=now) if entry.path in fresh else entry
        for entry in before.entries
    ]
    blob, archive = work / "next.blob", work / "next.tar"
    with blob.open("wb") as sink:
        sink.write(tree.packed(entries) + b"\n")
        for entry in entries:
            sink.write(fresh.get(entry.path, b""))
    order = tuple(entry.path for entry in entries if entry.path in fresh)
    superblock = bytearray(before.superblock)
    superblock[48:64] = os.urandom(16)
    struct.pack_into("<Q", superblock, 24, now // 10**9)
    head = rebuild.Header(bytes(superblock), order, (), {})
    rebuild.write_archive(before.folder, head, blob, archive)
    rebuild.format_erofs(archive, bytes(superblock), target, mkfs=in_tree(["mkfs.erofs"]))
    archive.unlink()
    return target


def changed_paths(entries: Sequence[Entry]) -> list[str]:
    """Python files of Goni, their compiled twins, and where the version stands."""
    stems = [f"{SITE}/{name}" for name in CHANGED]
    twins = [f"{Path(name).parent}/__pycache__/{Path(name).stem}." for name in stems]
    return [
        one.path
        for one in entries
        if one.path in (*stems, "lib/os-release") or one.path.startswith(tuple(twins))
    ]


def _changed(path: str, data: bytes) -> bytes:
    if path.endswith(".pyc"):  # another hash of the source, some other line numbers
        middle = len(data) // 2
        return data[:8] + os.urandom(8) + data[16:middle] + os.urandom(100) + data[middle:]
    if path.endswith(".py"):
        return data.replace(b"\n\n\n", b"\n\n\n# Changed by this release.\n\n\n", 5)
    return data.replace(b"0.1.0", b"0.1.1")


def packed(made: Pair, work: Path) -> dict[str, int]:
    """Bytes of the deltas and of the whole files as a release has them."""
    delta.make("usr", made.old_usr, made.new_usr, work / "usr.delta", work)
    delta.make("efi", made.old_efi, made.new_efi, work / "efi.delta", work)
    for name, path in (("usr", made.new_usr), ("efi", made.new_efi)):
        words = ["zstd", f"-{bundle.LEVEL}", "-q", "-f", path, "-o", work / name]
        run(words, timeout=3600)
    found = ("usr", "efi", "usr.delta", "efi.delta")
    return {name: (work / name).stat().st_size for name in found}


@dataclass(frozen=True)
class Applied:
    seconds: float
    memory: int


def apply(made: Pair, work: Path) -> Applied:
    """Rebuild the new /usr in a process of its own, whose memory counts with its children's."""
    with delta.unpacked(made.old_usr, work) as old:
        entries = work / "entries"
        entries.write_bytes(tree.packed(old.entries))
        script = [sys.executable, "-m", "tests.bench.update", "--apply", old.folder, entries]
        said = run([*script, work / "usr.delta", made.new_usr], timeout=3600).text
    found = json.loads(said.splitlines()[-1])
    return Applied(found["seconds"], found["memory"])


def apply_here(folder: Path, entries: Path, patch: Path, wanted: Path) -> None:
    """What :func:`apply` measures: rebuild and check, as a node does."""
    old = Unpacked(tuple(tree.unpacked(entries.read_bytes())), folder, b"")
    with _scratch(wanted.parent) as work:
        begun = time.monotonic()
        target = work / "usr"
        delta.rebuilt_usr(old, patch, target, work)
        checked(target)
        seconds, memory = time.monotonic() - begun, peak()
        if target.read_bytes() != wanted.read_bytes():
            raise GoniError("the delta doesn't rebuild the same bytes")
    print(json.dumps({"seconds": seconds, "memory": memory}))


def peak() -> int:
    """Bytes that this process and the largest of its children had at most."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024


def unpack_whole(made: Pair, work: Path) -> float:
    """Seconds to unpack and check the whole /usr."""
    with _scratch(work) as scratch:
        begun = time.monotonic()
        target = scratch / "usr"
        staging.unpack(work / "usr", target, made.new_usr.stat().st_size)
        checked(target)
        return time.monotonic() - begun


def checked(usr: Path) -> None:
    head = struct.pack(
        "<8sII16s32sIIQH6s256s", b"verity\0\0", 1, 1, bytes(16), b"sha256", verity.BLOCK,
        verity.BLOCK, usr.stat().st_size // verity.BLOCK, 32, b"", bytes(32),
    )  # fmt: skip
    verity.tree(usr, verity.superblock(head))


@contextlib.contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.update",
        description="Measure updates.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=3, help="of each timed row (default 3)")
    parser.add_argument("--apply", type=Path, nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        if given.apply:
            apply_here(*given.apply)
            return
        found = measure(given.runs)
        rows.write(BENCH, found)
    except GoniError as error:
        exit_with(error)
    print(rows.table([(BENCH, found)]))


if __name__ == "__main__":
    main()
