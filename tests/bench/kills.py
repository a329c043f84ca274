"""What people see when the engine is killed under their answers, again and again.

Several people ask all the time; each prompt's undisturbed answer is known, since the model answers
greedily. While tokens flow, llama-server gets SIGKILL. Each request then is one of :data:`KINDS`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from goni_core.errors import GoniError
from tests.bench.rows import Row
from tests.bench.sides import Goni
from tests.bench.speed import Say, prompts
from tests.bench.streams import Answer, Line, Peer

STREAMS = 8
PROMPTS = 24
TOKENS = 48
RIGHT, FAILED, WRONG, MIXED, CUT, LOST = KINDS = (
    "answered rightly",
    "failed with a clear error",
    "answered wrongly",
    "mixed up with another's",
    "cut without an error",
    "lost",
)
TARGETS = {WRONG: 0, MIXED: 0, CUT: 0, LOST: 0}
LOST_S = 120.0
"""Nothing at all in so many seconds is a lost request."""
RECOVERY_S = 300.0
SHARED = 12
"""So many first characters tell the answers apart (checked before)."""


def judged(answer: Answer, right: str, others: Sequence[str]) -> str:
    """Which of :data:`KINDS` ``answer`` is, when ``right`` is the undisturbed one and ``others``
    are those to other prompts. An answer that failed must still be right as far as it went.
    """
    if not right.startswith(answer.text) or (answer.whole and answer.text != right):
        start = answer.text[:SHARED]
        apart = not right.startswith(start)
        return MIXED if apart and any(one.startswith(start) for one in others) else WRONG
    if answer.whole:
        return RIGHT
    if answer.error:
        return FAILED
    return LOST if answer.broken == "TimeoutError" or not answer.status else CUT


async def undisturbed(door: Peer, tokens: int = TOKENS) -> dict[str, str]:
    """Every prompt and its answer, asked one by one."""
    asked = prompts(5)
    found = {}
    line = Line(door)
    for _ in range(PROMPTS):
        prompt = next(asked)
        answer = await line.ask(prompt, tokens)
        if not answer.whole or len(answer.text) != tokens:
            raise GoniError(f"{door.name}: {answer.error or answer.broken or 'a short answer'}")
        found[prompt] = answer.text
    await line.close()
    if len({text[:SHARED] for text in found.values()}) < PROMPTS:
        raise GoniError("the model's answers to different prompts begin alike")
    return found


@dataclass
class Load:
    """People who ask without end, and what came of it. ``latest`` is when the last begun of the
    right answers had its first token (monotonic clock).
    """

    known: Mapping[str, str]
    kinds: Counter[str] = field(default_factory=Counter)
    latest: float = 0.0
    stopped: bool = False
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, door: Peer, asked: Iterator[str]) -> None:
        """One person's questions, one after the other, until stopped."""
        while not self.stopped:
            prompt = next(asked)
            line = Line(door)
            answer = await line.ask(prompt, TOKENS, timeout=LOST_S)
            await line.close()
            others = [text for other, text in self.known.items() if other != prompt]
            kind = judged(answer, self.known[prompt], others)
            self.kinds[kind] += 1
            if kind == RIGHT:
                self.latest = max(self.latest, answer.first)
                self._came.set()
            else:
                await asyncio.sleep(0.2)  # as a client that tries again

    async def right_since(self, moment: float) -> None:
        """Until an answer that began after ``moment`` has come whole; :class:`GoniError` when
        none does.
        """
        try:
            async with asyncio.timeout(RECOVERY_S):
                while self.latest <= moment:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError as error:
            raise GoniError(f"no right answer within {RECOVERY_S:.0f} s of a kill") from error


async def measure(goni: Goni, kills: int, say: Say) -> tuple[Load, list[float]]:
    """``kills`` kills under load; what came of all requests, and the seconds from each kill to the
    next right answer.
    """
    chosen = random.Random(6)
    load = Load(await undisturbed(goni.doors[0]))
    say(f"the undisturbed answers to {PROMPTS} prompts are known")
    asked = forever(list(load.known), chosen)
    tasks = [
        asyncio.create_task(load.ask(goni.doors[place % len(goni.doors)], asked))
        for place in range(STREAMS)
    ]
    back: list[float] = []
    killed = 0.0
    try:
        for number in range(1, kills + 1):
            await load.right_since(killed)
            await asyncio.sleep(chosen.uniform(0.1, 1.5))
            if not goni.kill_engine():
                raise GoniError("there was no llama-server to kill")
            killed = time.monotonic()
            await load.right_since(killed)
            back.append(time.monotonic() - killed)
            say(f"kill {number} of {kills}: a right answer after {back[-1]:.1f} s")
    finally:
        load.stopped = True
        await asyncio.gather(*tasks)
    return load, back


def forever(questions: Sequence[str], chosen: random.Random) -> Iterator[str]:
    while True:
        yield chosen.choice(questions)


def rows(kinds: Mapping[str, int], kills: int) -> list[Row]:
    """One row of requests for each of :data:`KINDS`."""
    name = f"engine killed {kills} times, requests "
    return [
        Row(name + kind, float(kinds.get(kind, 0)), "requests", TARGETS.get(kind)) for kind in KINDS
    ]
