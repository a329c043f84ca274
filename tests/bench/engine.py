"""Latency, speed, memory and failures of chat: ``python -m tests.bench.engine``.

Flow: a model of random weights -> a whole node, a llama-server with the same flags,
``llama_cpp.server`` twice, all on that model -> first tokens -> streams -> decoding -> idle streams
-> kills. Compared things take turns within the run (``speed``). Writes ``out/bench/engine.json``
and ``engine.svg`` and prints the table. A target that is missed is said in the table and is no
failure: the machine may be busy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from goni_core import files
from goni_core.errors import GoniError, exit_with
from image.build import step
from tests.bench import curves, idle, kills, rows, sides, speed
from tests.bench.rows import Row, measured
from tests.bench.sides import Goni
from tests.bench.speed import Measured, Sizes
from tests.bench.streams import Peer

BENCH = "engine"
EXAMPLES = """examples:
  make bench-engine
  python -m tests.bench.engine --quick
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: Sizes
    kills: int


WHOLE = Plan(Sizes(pairs=200, rounds=5, tokens=96), kills=20)
QUICK = Plan(Sizes(pairs=10, rounds=1, tokens=24), kills=2)


@dataclass(frozen=True)
class Ground:
    """Everything that runs while it is measured; ``argv`` is what llama-server was started as."""

    goni: Goni
    argv: list[str]
    straight: Peer
    others: Sequence[Peer]


def measure(plan: Plan, folder: Path) -> tuple[list[Row], Measured]:
    """Every row, in the order in which they are shown, and the rounds for the picture."""
    sides.model_file()
    with contextlib.ExitStack() as stack:
        with step("a node, and what it is compared with"):
            goni = stack.enter_context(sides.goni(folder))
            asyncio.run(sides.warm(goni.doors))
            argv = goni.engine()[1]
            straight = stack.enter_context(sides.straight(argv, folder))
            others = [
                stack.enter_context(sides.llama_cpp_server(argv, folder, interrupt=interrupt))
                for interrupt in (True, False)
            ]
            asyncio.run(sides.warm([straight, *others]))
        ground = Ground(goni, argv, straight, others)
        fast, rounds = asyncio.run(_speeds(ground, plan))
        return [*fast, *asyncio.run(_troubles(ground, plan))], rounds


async def _speeds(ground: Ground, plan: Plan) -> tuple[list[Row], Measured]:
    sizes, door, straight = plan.sizes, ground.goni.doors[0], ground.straight
    with step(f"first tokens, {sizes.pairs} pairs, and {sizes.pairs // 4} with documents"):
        asked = speed.prompts(1)
        plain = await speed.first_tokens(straight, door, sizes.pairs, asked)
        searched = ground.goni.with_documents()
        found = await speed.first_tokens(straight, searched, max(2, sizes.pairs // 4), asked)
    with step(f"1, 4 and 16 streams, {sizes.rounds} times"):
        before = ground.goni.cpu_s()
        rounds = await speed.throughput(ground.goni.doors, straight, ground.others, sizes, say)
        costs = speed.cost_rows(before, ground.goni.cpu_s(), rounds.tokens(door.name))
    with step("decoding beside llama-bench"):
        decoded = await speed.decoding(straight, ground.argv, sizes, say)
    others = [peer.name for peer in ground.others]
    return [
        *speed.first_token_rows("gateway", plain, targets=(5.0, 15.0)),
        *speed.first_token_rows("gateway with documents", found, targets=(None, None)),
        measured("first token: straight", [near * 1000 for near, _ in plain], "ms"),
        *speed.throughput_rows(rounds, door.name, straight.name, others),
        *costs,
        *speed.decoding_rows(decoded),
    ], rounds


async def _troubles(ground: Ground, plan: Plan) -> list[Row]:
    goni = ground.goni
    with step(f"{idle.STREAMS} idle event streams"):
        memory = await idle.measure(goni.gateway_pid, goni.doors)
    with step(f"the engine killed {plan.kills} times under load"):
        load, back = await kills.measure(goni, plan.kills, say)
    return [
        *idle.rows(*memory),
        *kills.rows(load.kinds, plan.kills),
        measured("engine killed: next right answer after", back, "s"),
    ]


def picture(rounds: Measured) -> str:
    """Latency against streams: to the first token, and from token to token."""
    waits = {side: rounds.samples(side, lambda answer: answer.wait) for side in rounds.sides}
    steps = {
        side: rounds.samples(side, lambda answer: 1000 / answer.pace if answer.pace else 0.0)
        for side in rounds.sides
    }
    panels = [
        curves.Panel("Time to first token", "s", waits),
        curves.Panel("From token to token", "ms", steps),
    ]
    return curves.picture("Latency against streams: median, and up to the 95th percentile", panels)


def say(words: str) -> None:
    """One line of progress."""
    print(f"  {words}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.engine",
        description="Measure chat through the gateway beside what it is made of.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run of about two minutes")
    given = parser.parse_args()
    # Ended from outside, it still ends the servers that it started.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="goni-bench-") as folder:
            found, rounds = measure(QUICK if given.quick else WHOLE, Path(folder))
        rows.write(BENCH, found)
        files.write(rows.FOLDER / f"{BENCH}.svg", picture(rounds).encode(), mode=0o644)
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(rows.table([(BENCH, found)]))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
