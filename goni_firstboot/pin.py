"""The PIN on the node's screen, and how often it may be guessed.

Six digits are few: after five wrong ones every further guess costs a wait that doubles from 30 s up
to an hour. The count is one for the whole node, not per address, because a guesser can have many
addresses; it ends with the process, as the PIN does. A right PIN doesn't reset it, or each visit of
the owner would give a guesser five more tries. A hundred guesses take four days.
"""

from __future__ import annotations

import hmac
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass

DIGITS = 6
FREE_TRIES = 5
FIRST_WAIT_S = 30
LONGEST_WAIT_S = 3600


@dataclass(frozen=True)
class Tries:
    """How many PINs were wrong, and until when (seconds of the clock) no more are taken."""

    wrong: int = 0
    until: float = 0.0

    def after_wrong(self, now: float) -> Tries:
        """The tries after one more wrong PIN at ``now``."""
        return Tries(self.wrong + 1, now + wait_after(self.wrong + 1))

    def wait(self, now: float) -> int:
        """Whole seconds from ``now`` until the next PIN is taken; 0 when it may be typed."""
        return max(0, math.ceil(self.until - now))

    @property
    def left(self) -> int:
        """PINs that may be wrong before the first wait."""
        return max(0, FREE_TRIES - self.wrong)


def wait_after(wrong: int) -> int:
    """Seconds to wait after the ``wrong``-th wrong PIN."""
    if wrong < FREE_TRIES:
        return 0
    # The shift is bounded before it is used: this count may grow for months.
    return min(FIRST_WAIT_S << min(wrong - FREE_TRIES, 20), LONGEST_WAIT_S)


def new() -> str:
    """A new PIN, every one of the million equally likely."""
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"


def cleaned(typed: str) -> str | None:
    """The six digits in ``typed`` without the spaces and hyphens people put between them; None
    when that isn't a PIN at all.
    """
    digits = typed.replace(" ", "").replace("-", "")
    return digits if len(digits) == DIGITS and digits.isascii() and digits.isdigit() else None


class Gate:
    """Compares PINs with the one on the screen. ``clock`` gives seconds and never jumps."""

    def __init__(self, pin: str, clock: Callable[[], float]) -> None:
        self._pin = pin
        self._clock = clock
        self.tries = Tries()

    def wait(self) -> int:
        """Seconds until a PIN is taken again."""
        return self.tries.wait(self._clock())

    def admits(self, pin: str) -> bool:
        """Whether ``pin`` is right, counted when it is wrong; never while there is a wait."""
        if self.wait():
            return False
        if hmac.compare_digest(pin.encode(), self._pin.encode()):
            return True
        self.tries = self.tries.after_wrong(self._clock())
        return False
