"""Where requests go: pure functions from what is known of nodes and requests to a choice.

One request goes where its first token is predicted to come soonest; an answer that is written more
slowly than people read counts as late by as much. Several that wait are planned together: the
longest first, each where it would end first (Graham, "Bounds on Multiprocessing Timing Anomalies",
1969, for nodes of unequal speed). They still start in the order of the line; the plan only says
which node each waits for, and is made anew whenever something ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFILL, DECODE = 300.0, 20.0
"""Tokens per second of a node that has not been measured yet."""
PER_DECODE = 8.0
"""Tokens that a node reads in the time in which it writes one, where only one was measured."""
READING = 15.0
"""Tokens per second that people read."""
LOAD_MIB_S, LOAD_LEAST_S = 500.0, 3.0
"""MiB of a model that a node loads each second, and seconds that any load takes."""
HOP_S = 0.005
"""Seconds that the way to another node takes; also settles a tie for this one."""
HORIZON = 64
"""Requests that are planned together at most."""


@dataclass(frozen=True)
class Job:
    """A request in tokens: how long its ``prompt`` is, and how long its ``answer`` may get;
    ``context`` is what it needs room for. ``nodes`` are the only ones that may take it (None: any).
    ``warm``: prompt tokens that a node has read before.
    """

    prompt: int = 1500
    answer: int = 250
    nodes: frozenset[str] | None = None
    warm: Mapping[str, int] | None = None

    def reading(self, node: str) -> int:
        """Prompt tokens that the node still has to read."""
        return max(1, self.prompt - (self.warm or {}).get(node, 0))


USUAL = Job()


@dataclass(frozen=True)
class Node:
    """A node with one model. ``free`` says for each of its slots in how many seconds it is; before
    a new request ``waiting`` others take their turns. ``load_s``: seconds until the model is
    loaded; ``context``: tokens that a request may have (0: not known).
    """

    id: str = ""
    free: tuple[float, ...] = (0.0,)
    prefill: float = 0.0
    decode: float = 0.0
    waiting: int = 0
    load_s: float = 0.0
    context: int = 0

    def takes(self, job: Job) -> bool:
        """Whether ``job`` may go here and fits."""
        allowed = job.nodes is None or self.id in job.nodes
        return allowed and bool(self.free) and (not self.context or job.prompt < self.context)


@dataclass(frozen=True)
class Prediction:
    """Seconds until the first token, and until the last."""

    first: float
    end: float


def seconds(job: Job, node: Node) -> Prediction:
    """How long ``job`` takes at ``node`` once it has a slot."""
    prefill = node.prefill or node.decode * PER_DECODE or PREFILL
    decode = node.decode or node.prefill / PER_DECODE or DECODE
    first = job.reading(node.id) / prefill
    return Prediction(first, first + job.answer / decode)


def predict(job: Job, node: Node) -> Prediction:
    """When ``job`` would have its first and its last token there, if it were sent now."""
    starts = _start(list(node.free), node, node.waiting) + node.load_s
    took = seconds(job, node)
    hop = HOP_S if node.id else 0.0
    return Prediction(starts + took.first + hop, starts + took.end + hop)


def ranked(job: Job, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that may take ``job``, the best first."""
    return sorted((one for one in nodes if one.takes(job)), key=lambda one: _cost(job, one))


def assign(jobs: Sequence[Job], nodes: Sequence[Node]) -> list[str | None]:
    """For each of ``jobs``, the node that it shall wait for (None: no node takes it)."""
    free = {one.id: _after_others(one) for one in nodes}
    found: list[str | None] = [None] * len(jobs)
    shortest = {
        place: min((seconds(job, one).end for one in nodes if one.takes(job)), default=0.0)
        for place, job in enumerate(jobs)
    }
    for place in sorted(shortest, key=lambda one: -shortest[one]):
        job = jobs[place]
        ends = {one.id: free[one.id][0] + seconds(job, one).end for one in nodes if one.takes(job)}
        if ends:
            chosen = min(ends, key=lambda one: (ends[one], one))
            heapq.heapreplace(free[chosen], ends[chosen])
            found[place] = chosen
    return found


def next_start(
    jobs: Sequence[Job], nodes: Sequence[Node], open_: frozenset[str]
) -> tuple[int, str] | None:
    """Which of ``jobs``, in the order of their line, starts now, and where: at one of the nodes
    ``open_``. None while those that may go there wait for better ones. What no node takes starts
    anywhere: the engine says what is wrong with it.
    """
    if len(jobs) == 1:
        plan = [next((one.id for one in ranked(jobs[0], nodes)), None)]
    else:
        plan = assign(jobs[:HORIZON], nodes)
    anywhere = min(open_, default="")
    meant = [(place, anywhere if at is None else at) for place, at in enumerate(plan)]
    return next(((place, at) for place, at in meant if at in open_), None)


def _cost(job: Job, node: Node) -> float:
    when = predict(job, node)
    return when.first + max(0.0, when.end - when.first - job.answer / READING)


def _after_others(node: Node) -> list[float]:
    free = [one + node.load_s for one in node.free] or [0.0]
    heapq.heapify(free)
    for _ in range(node.waiting):
        heapq.heapreplace(free, free[0] + seconds(USUAL, node).end)
    return free


def _start(free: list[float], node: Node, others: int) -> float:
    heapq.heapify(free)
    for _ in range(others):
        heapq.heapreplace(free, free[0] + seconds(USUAL, node).end)
    return free[0]
