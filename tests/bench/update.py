"""What an update costs: bytes, time, memory: ``python -m tests.bench.update``.

The pair is real: the minimal image is built twice by this bench, the second time a day younger,
with another version and with changes in a few Python files of Goni, as a small release has them.
Any other pair can be given. Writes ``out/bench/update.json`` and prints the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goni_core import files
from goni_core.errors import GoniError, exit_with
from goni_core.run import run, stream
from goni_update import staging, verity, version
from image import build, fixed
from image.build import step
from image.release import bundle, delta
from image.release.bundle import Image
from image.release.delta import Unpacked
from tests.bench import rows, update_beside, update_household
from tests.bench.rows import Row, measured

BENCH = "update"
PROFILE = "minimal"
CHANGED = ("goni_gateway/pages.py", "goni_update/health.py", "goni_core/http.py")
DAY = 86_400
EXAMPLES = """examples:
  make bench-update
  python -m tests.bench.update --runs 1
  python -m tests.bench.update --images out/goni-minimal_0.1.0_x86-64 out/goni-minimal_0.1.1_x86-64
"""


@dataclass(frozen=True)
class Pair:
    """Two versions, and their /usr and UKI as files."""

    old: Image
    new: Image
    old_usr: Path
    new_usr: Path
    old_efi: Path
    new_efi: Path


def measure(runs: int, stems: Sequence[Path] | None) -> list[Row]:
    """Every row, in the order in which they are shown."""
    with tempfile.TemporaryDirectory(dir=build.OUT) as folder:
        work = Path(folder)
        with step("a pair of images that differ in some Python"):
            made = pair(work, stems or built())
        with step("deltas and whole files"):
            sizes = packed(made, work)
        with step(f"applied, {runs} times"):
            applied = [apply(made, work) for _ in range(runs)]
            whole = [unpack_whole(made, work) for _ in range(runs)]
        with step("other programs' chunks"):
            others = update_beside.rows_of(made.old_usr, made.new_usr, sizes["usr.delta"], work)
        with step("a household of four, and a slot"):
            others += update_household.rows_of(made.old, made.new, made.old_usr, runs, work)
    small, full = sizes["usr.delta"] + sizes["efi.delta"], sizes["usr"] + sizes["efi"]
    return [
        measured("bytes of a Python-only release / full", [small / full], "x", target=0.01),
        measured("the same, bytes of /usr's delta", [sizes["usr.delta"]], "bytes"),
        measured("the same, bytes of the UKI's delta", [sizes["efi.delta"]], "bytes"),
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
        *others,
    ]


def built() -> list[Path]:
    """The minimal image and its next release, built."""
    old, new = f"{build.version()}.8", f"{build.version()}.9"
    now = fixed.commit_time() or int(time.time())
    make_image(old, now)
    with changed_python():
        make_image(new, now + DAY)
    return [build.OUT / build.output_name(PROFILE, number) for number in (old, new)]


def pair(work: Path, stems: Sequence[Path]) -> Pair:
    """The images whose files begin with ``stems``, the older one first."""
    images = [bundle.image_at(stem, version.parse(stem.name.split("_")[1])) for stem in stems]
    for image, name in zip(images, ("old", "new"), strict=True):
        bundle.copy(image.files["usr"], work / f"{name}.erofs", image.usr_bytes)
    efis = [image.files["efi"] for image in images]
    return Pair(*images, work / "old.erofs", work / "new.erofs", *efis)


def make_image(number: str, when: int) -> None:
    words = [sys.executable, "-m", "image.build", "--profile", PROFILE]
    stream(words, timeout=7200, env={"GONI_VERSION": number, "SOURCE_DATE_EPOCH": str(when)})


@contextlib.contextmanager
def changed_python() -> Iterator[None]:
    """Comments in some of Goni's files, for the time of the block."""
    before = {Path("services") / name: (Path("services") / name).read_bytes() for name in CHANGED}
    try:
        for path, data in before.items():
            text = data.replace(b"\n\n\n", b"\n\n\n# Changed by this release.\n\n\n", 5)
            files.write(path, text, mode=path.stat().st_mode & 0o777)
        yield
    finally:
        for path, data in before.items():
            files.write(path, data, mode=path.stat().st_mode & 0o777)


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
        head = work / "superblock"
        head.write_bytes(made.new.head.raw)
        script = [sys.executable, "-m", "tests.bench.update", "--apply"]
        where = [old.image, old.folder, work / "usr.delta", made.new_usr, head]
        said = run([*script, *where], timeout=3600).text
    found = json.loads(said.splitlines()[-1])
    return Applied(found["seconds"], found["memory"])


def apply_here(image: Path, folder: Path, patch: Path, wanted: Path, head: Path) -> None:
    """What :func:`apply` measures: rebuild and check, as a node does."""
    with _scratch(wanted.parent) as work:
        size = wanted.stat().st_size
        begun = time.monotonic()
        target = work / "usr"
        delta.rebuilt_usr(Unpacked(image, (), folder), patch, target, work, limit=size)
        verity.tree(target, verity.superblock(head.read_bytes()))
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
        verity.tree(target, made.new.head)
        return time.monotonic() - begun


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
    parser.add_argument(
        "--images", type=Path, nargs=2, metavar="STEM", help="a pair to measure instead"
    )
    parser.add_argument("--apply", type=Path, nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        if given.apply:
            apply_here(*given.apply)
            return
        found = measure(given.runs, given.images)
        rows.write(BENCH, found)
    except GoniError as error:
        exit_with(error)
    print(rows.table([(BENCH, found)]))


if __name__ == "__main__":
    main()
