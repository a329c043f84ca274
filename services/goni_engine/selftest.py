"""Does a loaded chat model compute the same for a person alone as among others?

Every slot gets a sentence with a secret number of its own, first one after the other in an empty
slot, then all at once, over what the slots hold from before. Two things must hold:

- no answer contains a number that was in somebody else's sentence only (the canary);
- the answers are equal, token for token.

Equal needs care: a batch of four is computed in another order than a batch of one, floating point
sums differ by rounding, and where two tokens are almost equally likely the other one may win. So
the log-probabilities are compared, not only the tokens: they may differ by :data:`CLEAR`, and a
token may change only for one that was that close. After such a change the texts are different
texts and are not compared any further. Rounding stays far below the bound (about 0.1 in 16-bit
arithmetic); another request's text, a wrong mask or a broken kernel is far above.

Tokens that were guessed (see ``beside``) come without probabilities: they are compared as tokens,
and a different one, which may have been as likely, ends the comparison. The first token is never
guessed.

It costs tens of tokens; where the CPU is so slow that even this takes seconds, fewer sentences are
tried alone, never fewer than one.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goni_core import fields, http
from goni_core.errors import GoniError
from goni_engine.seats import Turn

TOKENS = 8
CLEAR = 1.0
"""Natural logarithm of how many times likelier a token has to be to count as the only choice."""
KNOWN = 10
"""Tokens whose probabilities are asked for at each step."""
ALONE_S = 2.0
"""Seconds that the sentences alone may take together, but for the first."""
LONGEST_S = 300.0
TEXT = "The number of the safe is {secret}, remember it. I repeat: the number of the safe is"


class Failed(GoniError):
    """The model computes something else among others than alone."""

    code = "self_test"


@dataclass(frozen=True)
class Step:
    """One generated token, its log-probability, and those of the likeliest ones."""

    token: int
    chance: float
    chances: dict[int, float]


@dataclass(frozen=True)
class Said:
    """An answer: text and steps; ``speed`` in prompt tokens per second."""

    text: str
    steps: tuple[Step, ...]
    speed: float


@dataclass(frozen=True)
class Result:
    """What was seen: how many answers were compared, and how fast a prompt is read (tokens/s)."""

    compared: int
    speed: float

    @property
    def words(self) -> str:
        return f"{self.compared} answers are the same alone and among others, no secret leaked"


async def examine(service: http.Service, slots: int, *, guesses: bool = False) -> Result:
    """Run the test on a llama-server that has nothing else to do; ``guesses``: it guesses.

    Raises :class:`Failed` with the reason, or what the server said.
    """
    numbers = [str(secrets.randbelow(900_000) + 100_000) for _ in range(slots + 1)]
    alone: list[Said] = []
    started = time.monotonic()
    for number in numbers[:-1]:
        alone.append(await _ask(service, number, Turn(0, again=False)))
        if time.monotonic() - started > ALONE_S:
            break
    # One more than there are slots: somebody has to come after somebody else in the same slot.
    turns = [Turn(place % slots, again=True) for place in range(slots + 1)]
    crowd = await asyncio.gather(
        *(_ask(service, number, turn) for number, turn in zip(numbers, turns, strict=True))
    )
    for number, said in zip(numbers, crowd, strict=True):
        if leaked(said.text, number, numbers):
            raise Failed("a secret of one request appeared in the answer to another")
    for one, other in zip(alone, crowd, strict=False):
        difference = differs(one.steps, other.steps, guesses=guesses)
        if difference:
            raise Failed(f"it answers differently when others ask at the same time: {difference}")
    return Result(len(alone), max(said.speed for said in alone))


def leaked(text: str, own: str, numbers: Sequence[str]) -> bool:
    """Whether ``text`` has one of ``numbers`` that isn't the asker's own."""
    return any(number in text for number in numbers if number != own)


def differs(alone: Sequence[Step], crowd: Sequence[Step], *, guesses: bool = False) -> str:
    """How the two differ beyond rounding, in words; "" when they don't."""
    for place, (one, other) in enumerate(zip(alone, crowd, strict=False), 1):
        if guesses and place > 1 and not (one.chances and other.chances):
            if one.token != other.token:
                return ""
            continue
        if not (math.isfinite(one.chance) and math.isfinite(other.chance)):
            return f"token {place} has no probability"
        there = one.chances.get(other.token, -math.inf)
        if one.chance - there > CLEAR:
            return f"token {place} is another one"
        if abs(there - other.chance) > CLEAR:
            return f"token {place} is less or more likely"
        if one.token != other.token:
            return ""
    return "" if len(alone) == len(crowd) else "one is longer"


async def _ask(service: http.Service, number: str, turn: Turn) -> Said:
    request = {
        "prompt": TEXT.format(secret=number),
        "n_predict": TOKENS,
        "temperature": 0,
        "n_probs": KNOWN,
        "ignore_eos": True,
        "cache_prompt": turn.again,
        "id_slot": turn.slot,
    }
    answer = await service.call("POST", "/completion", json=request, timeout=_TIMEOUT)
    steps = tuple(
        _step(step) for step in fields.objects(answer, "completion_probabilities", most=TOKENS)
    )
    if not steps:
        raise Failed("it says nothing")
    timings = answer.get("timings")
    speed = timings.get("prompt_per_second") if isinstance(timings, dict) else None
    return Said(str(answer.get("content", "")), steps, _number(speed, 0.0))


_TIMEOUT = http.Timeout(LONGEST_S)


def _step(step: fields.Object) -> Step:
    top = fields.objects(step, "top_logprobs", most=KNOWN)
    chances = {int(entry["id"]): _number(entry.get("logprob"), math.nan) for entry in top}
    return Step(int(step["id"]), _number(step.get("logprob"), math.nan), chances)


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
