"""The household: routing, failures, splits, discovery: ``python -m tests.bench.mesh``.

Nodes are processes on this machine with real engines and a model of random weights; discovery,
splits and cut cables need root, for network namespaces, and are left out with a word otherwise.
Writes ``out/bench/mesh.json`` and prints the table. Missed targets are said in the table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from goni_core import run
from goni_core.errors import GoniError, exit_with
from image.build import step
from tests.bench import failing, networks, planned, rows, speed
from tests.bench.rows import Row, measured
from tests.bench.streams import Line, Peer

BENCH = "mesh"
ATTACKS = ("tests/unit/test_mesh_pairing.py", "-k", "ten_thousand_attacks")
EXAMPLES = """examples:
  sudo make bench-mesh
  python -m tests.bench.mesh --quick --only planner,overhead
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured: sets of requests, pairs of answers, failures, nodes, idle seconds."""

    sets: int
    pairs: int
    failures: int
    nodes: int
    idle_s: float


WHOLE = Plan(sets=8, pairs=100, failures=50, nodes=32, idle_s=60.0)
QUICK = Plan(sets=2, pairs=5, failures=3, nodes=4, idle_s=10.0)


def planner_rows(plan: Plan) -> list[Row]:
    found = planned.ratios(range(plan.sets))
    name = f"8 unequal nodes, {planned.REQUESTS} requests: total time / best possible"
    return [measured(name, found, "x", target=1.15)]


def overhead_rows(plan: Plan) -> list[Row]:
    """The same questions to a peer's engine straight and by way of the household, in turns."""
    with tempfile.TemporaryDirectory(prefix="gm-") as folder, failing.home(Path(folder), 1) as home:
        return asyncio.run(_overhead(home.door, home.straight, plan.pairs))


async def _overhead(door: Peer, straight: Peer, pairs: int) -> list[Row]:
    asked, lines = speed.prompts(7), [Line(straight), Line(door)]
    first: list[float] = []
    whole: list[float] = []
    for _ in range(pairs + 2):
        prompt = next(asked)
        answers = [await line.ask(prompt, 16) for line in lines]
        for line in lines:
            await line.close()
        for answer in answers:
            if not answer.whole:
                raise GoniError(f"no answer: {answer.error or answer.broken}")
        near, far = answers
        first.append((far.wait - near.wait) * 1000)
        whole.append((far.ended - far.begun - near.ended + near.begun) * 1000)
    return [
        measured("routing overhead: first token", first[2:], "ms", target=10.0),
        measured("routing overhead: whole answer of 16 tokens", whole[2:], "ms"),
    ]


def failure_rows(plan: Plan) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="gm-") as folder, failing.home(Path(folder), 2) as home:
        return asyncio.run(failing.measure(home, plan.failures, say))


def network_rows(plan: Plan) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="gm-") as folder:
        found = networks.split(Path(folder) / "s", rounds=1 if plan is QUICK else 5)
        return [*found, *networks.discovery(Path(folder) / "d", plan.nodes, plan.idle_s, say)]


def pin_rows(_plan: Plan) -> list[Row]:
    """The test's attacker, who knows the PIN as soon as its tries are used up; the test fails, and
    with it the bench, when one guess succeeds.
    """
    run.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ATTACKS], timeout=1800
    )
    name = "PIN guesses that succeed in 10,000 attacks beyond the allowed tries"
    return [Row(name, 0.0, "requests", 0)]


PARTS: dict[str, Callable[[Plan], list[Row]]] = {
    "planner": planner_rows,
    "overhead": overhead_rows,
    "failures": failure_rows,
    "networks": network_rows,
    "pins": pin_rows,
}


def measure(plan: Plan, parts: list[str]) -> Iterator[Row]:
    for part in parts:
        if part == "networks" and os.geteuid() != 0:
            say("networks: left out, they need root")
            continue
        with step(part):
            yield from PARTS[part](plan)


def say(words: str) -> None:
    """One line of progress."""
    print(f"  {words}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.mesh",
        description="Measure what several nodes do together.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    given = parser.parse_args()
    parts = given.only.split(",")
    if unknown := set(parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        found = list(measure(QUICK if given.quick else WHOLE, parts))
        if found:
            rows.write(BENCH, found)
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(rows.table([(BENCH, found)]))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
