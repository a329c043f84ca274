"""goni-flash against dd and cmp on the same loop device: ``python -m tests.bench.flash``.

Each round writes one disk in both ways, in turns. Before each, the disk is filled with old data, so
that neither finds it easier than the other; the loop device does direct I/O, so that the host's
cache is in nobody's favour. goni-flash is timed as a person runs it: start of Python, signature and
checksum included. Writes ``out/bench/flash.json``. Needs root, and room for the image once more.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from goni_core.errors import Forbidden, GoniError, NotFound, exit_with
from goni_core.run import Argument, run
from image import bmap
from image.build import PROFILES, image_path, step
from tests import disk_image
from tests.bench import rows
from tests.bench.rows import Row
from tests.lying_disk import loop

BENCH = "flash"
PATIENCE = 3600
SLACK = 4 << 20
"""Bytes that the disk is larger than the image."""
EXAMPLES = """examples:
  sudo make bench-flash                        the reference image, else the minimal one; 3 rounds
  sudo make bench-flash QUICK=1                a small image made for it, 1 round
"""


def built() -> Path:
    """An image that make image left, signed."""
    for profile in PROFILES:
        if (path := image_path(profile)).exists():
            return path
    raise NotFound("there is no image", hint="make image, or QUICK=1")


def small(folder: Path) -> tuple[Path, Path]:
    """A sparse image of 512 MiB, an eighth of it data, and the certificate of its signature."""
    image = disk_image.make(folder / "goni_0.0.0_x86-64.raw", size=512 << 20, data=64 << 20)
    bmap.write(image)
    key, certificate = disk_image.make_key(folder)
    disk_image.sign(image, key)
    return image, certificate


def seconds(*commands: Sequence[Argument]) -> float:
    """How long ``commands`` take, one after the other."""
    begun = time.monotonic()
    for words in commands:
        run(words, timeout=PATIENCE)
    return time.monotonic() - begun


def fill(backing: Path, size: int) -> None:
    """Write the whole disk with something, past the cache."""
    words = ["dd", "if=/dev/zero", f"of={backing}", "bs=4M", f"count={-(-size // (4 << 20))}"]
    run([*words, "oflag=direct", "conv=notrunc,fsync"], timeout=PATIENCE)


def rounds(image: Path, trust: Sequence[Argument], count: int, folder: Path) -> list[Row]:
    """Every row; ``trust`` are goni-flash's words about the signature."""
    backing = folder / "disk"
    size = image.stat().st_size + SLACK
    ours: list[Argument] = [sys.executable, "-m", "goni_flash", image, *trust, "--yes"]
    taken: dict[str, list[float]] = {"write": [], "verified": [], "dd": [], "dd and cmp": []}
    seconds(["cat", image])  # in the cache for both
    fill(backing, size)
    with loop(backing) as disk:
        run(["losetup", "--direct-io=on", disk], timeout=60)
        copy = ["dd", f"if={image}", f"of={disk}", "bs=4M", "oflag=direct", "conv=fsync"]
        compare = ["cmp", f"--bytes={image.stat().st_size}", image, disk]
        for _ in range(count):
            for name, commands in (
                ("dd", [copy]),
                ("write", [[*ours, disk, "--no-verify"]]),
                ("dd and cmp", [copy, compare]),
                ("verified", [[*ours, disk]]),
            ):
                fill(backing, size)
                taken[name].append(seconds(*commands))
            run(compare, timeout=PATIENCE)
    return shown(taken, image.stat().st_size, image.stat().st_blocks * 512)


def shown(taken: dict[str, list[float]], size: int, data: int) -> list[Row]:
    """The rows of the seconds that were taken."""

    def ratio(ours: str, theirs: str) -> list[float]:
        return [one / other for one, other in zip(taken[ours], taken[theirs], strict=True)]

    return [
        rows.measured("write / dd bs=4M oflag=direct", ratio("write", "dd"), "x", target=0.6),
        rows.measured(
            "write and verify / dd and cmp", ratio("verified", "dd and cmp"), "x", target=1.0
        ),
        *(rows.measured(name, samples, "s") for name, samples in taken.items()),
        rows.measured("image", [float(size)], "bytes"),
        rows.measured("image, data", [float(data)], "bytes"),
    ]


def measure(given: argparse.Namespace) -> list[Row]:
    """Make or find the image, and take the rounds beside it."""
    if os.geteuid() != 0:
        raise Forbidden("loop devices need root", hint="sudo make bench-flash")
    rows.FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=rows.FOLDER) as name:
        folder = Path(name).absolute()
        if given.quick:
            image, certificate = small(folder)
        else:
            image, certificate = built(), Path("keys/image.crt")
        with step(f"{image.name} to a loop device, {given.runs} rounds of four"):
            return rounds(image, ["--key", certificate], given.runs, folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.flash",
        description="Measure goni-flash.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a small image, one round")
    parser.add_argument("--runs", type=int, default=0, help="rounds (default 3, quick 1)")
    given = parser.parse_args()
    given.runs = given.runs or (1 if given.quick else 3)
    try:
        found = measure(given)
        rows.write(f"{BENCH}-quick" if given.quick else BENCH, found)
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(rows.table([(BENCH, found)]))


if __name__ == "__main__":
    main()
