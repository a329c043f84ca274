"""How fast answers come: first tokens, tokens a second at several streams, bare decoding.

Everything is measured in turns with what it is compared with, A B, B A, A B …, so that a machine
that becomes slower or faster meanwhile does the same to both. Prompts are new each time and the
same for both sides of a pair; every answer has the same number of tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from goni_core.errors import GoniError
from tests.bench import sides
from tests.bench.rows import Row, at_percentile, measured
from tests.bench.streams import Answer, Line, Peer, together

STREAMS = (1, 4, 16)
PAIRED = 4
"""At so many streams llama_cpp.server is measured too."""
WORDS = ("plum", "key", "garden", "house", "winter", "roof", "letter", "candle", "river", "stone")
T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How much is measured: ``pairs`` of first tokens, ``rounds`` of ``tokens`` per stream."""

    pairs: int
    rounds: int
    tokens: int


@dataclass(frozen=True)
class Round:
    """Streams that ran at the same time: what came of each, and the seconds until the last end.
    ``tokens`` is what each was asked for.
    """

    answers: tuple[Answer, ...]
    seconds: float
    tokens: int

    @property
    def rate(self) -> float:
        """All tokens that came, a second."""
        return sum(len(answer.text) for answer in self.answers) / self.seconds

    @property
    def broken(self) -> int:
        """Streams that ended early, with or without an error."""
        return sum(not answer.whole or len(answer.text) < self.tokens for answer in self.answers)


@dataclass
class Measured:
    """All rounds: by side and number of streams, in the order in which they were run."""

    rounds: dict[tuple[str, int], list[Round]] = field(default_factory=dict)

    def rates(self, side: str, streams: int) -> list[float]:
        return [one.rate for one in self.rounds[side, streams]]

    def broken(self, side: str, streams: int) -> int:
        return sum(one.broken for one in self.rounds[side, streams])

    def tokens(self, side: str) -> int:
        """All tokens that came from ``side``."""
        rounds = [one for (name, _), found in self.rounds.items() if name == side for one in found]
        return sum(len(answer.text) for one in rounds for answer in one.answers)

    @property
    def sides(self) -> list[str]:
        return list(dict.fromkeys(side for side, _ in self.rounds))

    def samples(self, side: str, of: Callable[[Answer], float]) -> dict[int, list[float]]:
        """What ``of`` gives for every whole answer of ``side``, by number of streams."""
        return {
            streams: [of(answer) for one in found for answer in one.answers if answer.whole]
            for (name, streams), found in self.rounds.items()
            if name == side
        }


def prompts(seed: int) -> Iterator[str]:
    """Endless short questions, no two the same."""
    chosen = random.Random(seed)
    number = 0
    while True:
        number += 1
        first, second = chosen.sample(WORDS, 2)
        yield f"{number}: {first} of {second}?"


def in_turns(compared: Sequence[T], turn: int) -> list[T]:
    """``compared`` in order, or backwards in every other turn."""
    return list(compared if turn % 2 == 0 else reversed(compared))


async def first_tokens(
    near: Peer, far: Peer, pairs: int, asked: Iterator[str]
) -> list[tuple[float, float]]:
    """Seconds to the first token at ``near`` and at ``far``, in pairs, each on one connection."""
    lines = {peer.name: Line(peer) for peer in (near, far)}
    found = []
    try:
        for pair in range(pairs + 1):
            prompt = next(asked)
            waits = {}
            for line in in_turns(list(lines.values()), pair):
                answer = await line.ask(prompt, 2)
                if not answer.whole:
                    raise GoniError(f"{line.peer.name}: {answer.error or answer.broken}")
                waits[line.peer.name] = answer.wait
            found.append((waits[near.name], waits[far.name]))
    finally:
        for line in lines.values():
            await line.close()
    return found[1:]  # the first pair connects


def first_token_rows(
    name: str, pairs: Sequence[tuple[float, float]], *, targets: tuple[float | None, float | None]
) -> list[Row]:
    """Median and 95th percentile of what ``far`` took longer than ``near``, in ms."""
    longer = [(far - near) * 1000 for near, far in pairs]
    figure = f"first token, {name} minus straight"
    return [
        measured(f"{figure}: median", longer, "ms", target=targets[0]),
        at_percentile(f"{figure}: p95", longer, 95, "ms", target=targets[1]),
    ]


async def throughput(
    doors: Sequence[Peer], straight: Peer, others: Sequence[Peer], sizes: Sizes, say: Say
) -> Measured:
    """``rounds`` rounds at each of :data:`STREAMS`, of all sides in turns."""
    found = Measured()
    asked = prompts(2)
    for turn in range(sizes.rounds):
        for streams in STREAMS:
            here: list[tuple[Peer, ...]] = [tuple(doors), (straight,)]
            here += [(peer,) for peer in others] if streams == PAIRED else []
            questions = [next(asked) for _ in range(streams)]
            for peers in in_turns(here, turn):
                answers, seconds = await together(peers, questions, sizes.tokens)
                one = Round(tuple(answers), seconds, sizes.tokens)
                found.rounds.setdefault((peers[0].name, streams), []).append(one)
                say(f"round {turn + 1}, {streams} streams, {peers[0].name}: {one.rate:.1f}/s")
    return found


def throughput_rows(found: Measured, door: str, straight: str, others: Sequence[str]) -> list[Row]:
    """Ratios within each round, with what they are ratios of; and what didn't end as it should."""
    rows = []
    for streams in STREAMS:
        ours, theirs = found.rates(door, streams), found.rates(straight, streams)
        title = f"tokens/s at {streams} streams" if streams > 1 else "tokens/s at 1 stream"
        ratio = ratios(ours, theirs)
        rows.append(measured(f"{title}: gateway / straight", ratio, "x", target=0.97, floor=True))
        rows.append(measured(f"{title}: gateway", ours, "tokens/s"))
    ours = found.rates(door, PAIRED)
    for other in others:
        title = f"at {PAIRED} streams: gateway / {other}"
        ratio = ratios(ours, found.rates(other, PAIRED))
        rows.append(measured(f"tokens/s {title}", ratio, "x", target=2.0, floor=True))
    cut = [float(found.broken(door, streams)) for streams in STREAMS]
    rows.append(counted("streams cancelled by the gateway", cut, target=0))
    rows += [
        counted(f"streams cancelled by {other}", [float(found.broken(other, PAIRED))])
        for other in others
    ]
    return rows


def cost_rows(before: dict[str, float], after: dict[str, float], tokens: int) -> list[Row]:
    """CPU time that each service took for a token, from its CPU seconds before and after."""
    return [
        measured(f"CPU time per token: {name}", [(after[name] - start) * 1000 / tokens], "ms")
        for name, start in before.items()
    ]


def counted(figure: str, counts: Sequence[float], *, target: float | None = None) -> Row:
    """The row of a sum."""
    return Row(figure, sum(counts), "streams", target, len(counts), min(counts), max(counts))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours by theirs, round by round; 0 where theirs is none."""
    return [a / b if b else 0.0 for a, b in zip(ours, theirs, strict=True)]


async def decoding(
    straight: Peer, argv: Sequence[str], sizes: Sizes, say: Say
) -> list[tuple[float, float]]:
    """Tokens a second of one stream from llama-server, as its client sees them, and of
    llama-bench at the same depth, in pairs.
    """
    asked = prompts(3)
    depth = sides.prompt_tokens(straight, next(asked))
    found = []
    for turn in range(sizes.rounds):
        rates = {}
        for side in in_turns(("server", "bench"), turn):
            if side == "bench":
                rates[side] = sides.llama_bench(argv, tokens=sizes.tokens, depth=depth)
            else:
                line = Line(straight)
                rates[side] = (await line.ask(next(asked), sizes.tokens)).pace
                await line.close()
        found.append((rates["server"], rates["bench"]))
        say(f"round {turn + 1}: llama-server {rates['server']:.1f}, bench {rates['bench']:.1f}/s")
    return found


def decoding_rows(pairs: Sequence[tuple[float, float]]) -> list[Row]:
    """The ratio within each pair, and llama-bench's own figure."""
    servers, benches = zip(*pairs, strict=True)
    figure = "decode speed: llama-server / llama-bench"
    return [
        measured(figure, ratios(servers, benches), "x", target=0.97, floor=True),
        measured("decode speed: llama-bench", benches, "tokens/s"),
    ]
