"""What the doctor found: one line per thing that was looked at, good or not, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from goni_core.errors import GoniError


class State(StrEnum):
    """``unknown``: it couldn't be looked at here, which is said and is no fault."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One thing: what was found, and what to do about it when that isn't good."""

    area: str
    state: State
    words: str
    advice: str = ""

    def plain(self) -> dict[str, str]:
        """As a JSON object."""
        return {
            "area": self.area,
            "state": self.state.value,
            "words": self.words,
            "advice": self.advice,
        }

    def line(self) -> str:
        """For people."""
        advice = f"\n{'':10}{self.advice}" if self.advice else ""
        return f"{self.state.value:<9} {self.area}: {self.words}{advice}"


def looked(area: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of one area. What fails to be looked at is a finding, not the end."""
    try:
        return list(look())
    except (GoniError, OSError, ValueError, KeyError, TypeError) as error:
        words = error.message if isinstance(error, GoniError) else type(error).__name__
        return [Finding(area, State.UNKNOWN, f"it can't be looked at ({words})")]


def good(area: str, words: str) -> Finding:
    return Finding(area, State.GOOD, words)


def warning(area: str, words: str, advice: str) -> Finding:
    return Finding(area, State.WARNING, words, advice)


def bad(area: str, words: str, advice: str) -> Finding:
    return Finding(area, State.BAD, words, advice)


def unknown(area: str, words: str) -> Finding:
    return Finding(area, State.UNKNOWN, words)
