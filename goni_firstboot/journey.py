"""The order of the steps, and where somebody stands in it: pure, over the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goni_firstboot.answers import Answers


@dataclass(frozen=True)
class Place:
    """A step in its row: ``number`` of ``total`` from 1; ``back`` is the step before it, if any."""

    name: str
    number: int
    total: int
    back: str | None


def current(names: Sequence[str], answers: Answers) -> str:
    """The first step that still has to be passed; the last one when there is none."""
    return next((name for name in names if not answers.passed(name)), names[-1])


def reachable(names: Sequence[str], answers: Answers, name: str) -> bool:
    """Whether ``name`` may be looked at: everything before it has been passed."""
    return name in names and names.index(name) <= names.index(current(names, answers))


def after(names: Sequence[str], name: str) -> str:
    """The step that follows ``name``; the last one is followed by itself."""
    return names[min(names.index(name) + 1, len(names) - 1)]


def place(names: Sequence[str], name: str) -> Place:
    """Where ``name`` stands."""
    index = names.index(name)
    return Place(name, index + 1, len(names), names[index - 1] if index else None)
