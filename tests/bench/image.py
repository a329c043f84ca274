"""Boot time, sizes and rebuild time of the image: ``python -m tests.bench.image``.

Flow: make image -> rebuild after a one-line change -> sizes -> bare Debian -> boots, in turns.
Writes ``out/bench/image.json`` and ``image.svg`` and prints the table. A target that is missed is
said in the table and is no failure: the machine may be busy.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from types import FrameType

from goni_core import files
from goni_core.errors import GoniError, exit_with
from image.build import PROFILES, image_path, step
from tests.bench import bare, boot, rebuild, rows, sizes, svg
from tests.bench.rows import Row

BENCH = "image"
EXAMPLES = """examples:
  make bench-image
  python -m tests.bench.image --runs 5
"""


def measure(runs: int) -> list[Row]:
    """Every row, in the order in which they are shown."""
    rows.FOLDER.mkdir(parents=True, exist_ok=True)
    with step("make image PROFILE=minimal, so that there is something to change"):
        rebuild.make_image()
    with step("the same after a one-line change, twice"):
        rebuilt = rebuild.row()
    with step("sizes"):
        sized = [row for profile, image in built() for row in sizes.rows(profile, image)]
    with step("bare Debian"):
        debian = bare.ensure()
    with step(f"boots, {runs} runs of two on each of two systems"):
        booted = boot.rows(image_path("minimal"), debian, runs)
    return [*booted, rebuilt, *sized]


def built() -> list[tuple[str, Path]]:
    """The profiles of which there is an image of this version."""
    return [(name, image_path(name)) for name in PROFILES if image_path(name).exists()]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.image",
        description="Measure the image.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=_runs, default=3, help="boots of each kind (default 3)")
    given = parser.parse_args()
    # Ended from outside, it still restores the file that it changed and ends its machines.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        found = measure(given.runs)
        rows.write(BENCH, found)
        picture = svg.chart("Goni's image", found)
        files.write(rows.FOLDER / f"{BENCH}.svg", picture.encode(), mode=0o644)
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(rows.table([(BENCH, found)]))


def _runs(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError("a number from 1 to 100")
    return value


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
