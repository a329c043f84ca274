"""Two builds of one commit, compared part by part: ``python -m image.reproduce``.

The second build starts without mkosi's caches and without the initrd, the engine or the model of
the first. Compared are /usr, its hash tree and the UKI without its signature, byte for byte; what
differs is told by section where it has some, and diffoscope's report is kept beside it. Not
compared: the signatures themselves, and the boot partition, which holds the signed UKI.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import GoniError, NotFound, exit_with
from goni_core.run import run, stream
from image import build, pe

FOLDER = Path("out/reproduce")
PARTS = ("usr.raw", "usr-verity.raw", "efi")
FORGOTTEN = ("cache/mkosi-images", "cache/initrd", "engine/image")
"""Below out/, what the second build must make anew."""
EXAMPLES = """examples:
  make reproduce PROFILE=minimal                        builds twice, the engine too
  python -m image.reproduce --compare FIRST SECOND      two folders with builds, nothing is built

Exit status: 0 the builds are equal, 1 they are not.
"""


@dataclass(frozen=True)
class Verdict:
    """One part: whether both builds agree, and where they don't."""

    part: str
    equal: bool
    where: str = ""

    def line(self) -> str:
        where = f": {self.where}" if self.where else ""
        return f"{'equal' if self.equal else 'DIFFERS':<8} {self.part}{where}"


def compare(first: Path, second: Path) -> list[Verdict]:
    """The verdict on every part of the builds in the two folders."""
    return [_verdict(part, _only(first, part), _only(second, part)) for part in PARTS]


def _only(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*.{part}"))
    if len(found) != 1:
        raise NotFound(f"{folder} holds {len(found)} files *.{part}, not one")
    return found[0]


def _verdict(part: str, first: Path, second: Path) -> Verdict:
    if part == "efi":
        return uki(first.read_bytes(), second.read_bytes())
    if first.stat().st_size != second.stat().st_size:
        return Verdict(part, False, f"{first.stat().st_size} and {second.stat().st_size} bytes")
    done = run(["cmp", first, second], timeout=3600, check=False)
    return Verdict(part, done.returncode == 0, done.text.strip().rpartition(": ")[2])


def uki(first: bytes, second: bytes) -> Verdict:
    """Two UKIs, their signatures aside. ``.pcrsig`` is a signature too, inside of a section."""
    name = "efi (unsigned)"
    if pe.unsigned(first) == pe.unsigned(second):
        return Verdict(name, True)
    one, other = pe.sections(first), pe.sections(second)
    differ = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    serious = [key for key in differ if key != ".pcrsig"]
    if differ == [".pcrsig"]:
        return Verdict(name, True, "but for the signature of the PCR policy")
    return Verdict(name, False, f"sections {', '.join(serious)}" if serious else "headers")


def explain(first: Path, second: Path, verdicts: list[Verdict], target: Path) -> Iterator[Path]:
    """diffoscope's reports on the parts that differ; none where it isn't installed."""
    if not shutil.which("diffoscope"):
        print("for a report of what differs: apt-get install diffoscope-minimal", file=sys.stderr)
        return
    for part, verdict in zip(PARTS, verdicts, strict=True):
        if not verdict.equal:
            report = target / f"{part}.diffoscope.txt"
            words = ["diffoscope", "--text", str(report), "--max-report-size", "2000000"]
            pair = [str(_only(folder, part)) for folder in (first, second)]
            run([*words, *pair], timeout=7200, check=False)
            yield report


def twice(profile: str, make: Callable[[str], None]) -> tuple[Path, Path]:
    """Build ``profile`` by ``make`` twice; the folders with the parts of each."""
    name = build.output_name(profile, build.version())
    folders = []
    for turn in ("first", "second"):
        folder = FOLDER / profile / turn
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if turn == "second":
            for forgotten in FORGOTTEN:
                shutil.rmtree(build.OUT / forgotten, ignore_errors=True)
        make(profile)
        for part in PARTS:
            # Hard links: mkosi replaces its outputs, it doesn't write into them.
            (folder / f"{name}.{part}").hardlink_to(build.OUT / f"{name}.{part}")
        folders.append(folder)
    return folders[0], folders[1]


def make(profile: str) -> None:
    """One build, in a process of its own."""
    stream([sys.executable, "-m", "image.build", "--profile", profile], timeout=4 * 3600)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="image.reproduce",
        description="Are two builds of one commit equal?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=build.PROFILES, default="reference")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("FIRST", "SECOND"))
    given = parser.parse_args()
    try:
        first, second = given.compare or twice(given.profile, make)
        verdicts = compare(first, second)
        print("\n".join(verdict.line() for verdict in verdicts))
        if all(verdict.equal for verdict in verdicts):
            return
        FOLDER.mkdir(parents=True, exist_ok=True)
        for report in explain(first, second, verdicts, FOLDER):
            print(report)
    except GoniError as error:
        exit_with(error)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
