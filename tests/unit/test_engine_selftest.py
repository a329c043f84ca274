"""The self-test fails for wrong numbers and leaks, and forgives what is only rounding."""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

import pytest

from goni_core import http
from goni_engine import selftest
from goni_engine.selftest import Failed, Step, differs, leaked

LIKELY, TIE = math.log(0.9), math.log(0.45)


def step(token: int, **chances: float) -> Step:
    found = {int(name[1:]): chance for name, chance in chances.items()}
    return Step(token, found.get(token, -math.inf), found)


SURE = step(1, t1=LIKELY, t2=math.log(0.05))
CLOSE = step(1, t1=TIE, t2=TIE - 0.01)


def test_the_same_is_the_same_up_to_rounding() -> None:
    assert differs([SURE, SURE], [SURE, SURE]) == ""
    assert differs([SURE], [step(1, t1=LIKELY - 0.2, t2=math.log(0.07))]) == ""


def test_a_tie_may_fall_either_way_and_ends_the_comparison() -> None:
    other = step(2, t1=TIE - 0.02, t2=TIE)
    assert differs([CLOSE, SURE], [other, step(7, t7=LIKELY)]) == ""


@pytest.mark.parametrize(
    "crowd",
    [
        [step(2, t2=LIKELY, t1=math.log(0.05))],
        [step(7, t7=LIKELY)],
        [step(1, t1=math.log(0.2), t2=math.log(0.1))],
        [step(1, t1=math.nan)],
        [SURE, SURE],
    ],
)
def test_other_tokens_and_other_chances_are_a_difference(crowd: list[Step]) -> None:
    assert differs([SURE], crowd)


def test_what_a_draft_guessed_is_compared_as_tokens() -> None:
    guessed, other = Step(5, 0.0, {}), Step(6, 0.0, {})
    assert differs([SURE, guessed], [SURE, guessed], guesses=True) == ""
    assert differs([SURE, guessed, SURE], [SURE, other, step(7, t7=LIKELY)], guesses=True) == ""
    assert differs([SURE, guessed, SURE], [SURE, guessed, step(7, t7=LIKELY)], guesses=True)
    assert differs([guessed], [guessed], guesses=True), "the first is never guessed"
    assert differs([SURE, guessed], [SURE, guessed]), "without a draft nothing is"


def test_ones_own_secret_is_no_leak() -> None:
    assert not leaked("it is 111111", "111111", ["111111", "222222"])
    assert leaked("it is 222222", "111111", ["111111", "222222"])


class Leaky:
    """An engine whose slots know each other's prompts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def call(self, _method: str, _path: str, *, json: Any, timeout: Any) -> dict[str, Any]:
        self.seen.append(json["prompt"].split("safe is ")[1].split(",")[0])
        await asyncio.sleep(0)
        said = self.seen[-2] if json["cache_prompt"] else "nothing"
        top = [{"id": 1, "logprob": -0.1}]
        return {
            "content": said,
            "completion_probabilities": [{"id": 1, "logprob": -0.1, "top_logprobs": top}],
            "timings": {"prompt_per_second": 100.0},
        }


def test_a_secret_of_another_slot_fails_the_canary() -> None:
    with pytest.raises(Failed, match="secret"):
        asyncio.run(selftest.examine(cast(http.Service, Leaky()), 4))
