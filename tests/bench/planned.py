"""How far the planner's schedules are from the best: 8 nodes of unequal speeds, 64 mixed requests.

The requests come at once from 16 people. The real line (``goni_gateway.turns``) starts them, on a
clock of the bench's, at nodes that answer one at a time; an answer ends where it ends, at 60 to
100 % of the length that was planned with. What it is compared with is a lower bound of every
schedule that knew all of that beforehand: the dual bound that HiGHS proves for the assignment of
requests to nodes with the earliest end of all (R||Cmax; Lenstra, Shmoys, Tardos 1990).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_matrix

from goni_gateway.planner import Job, Node, seconds
from goni_gateway.turns import Station, Turns

REQUESTS, PEOPLE = 64, 16
SPEEDS = (
    (1692, 80), (1114, 60), (900, 30), (720, 57), (302, 11.5), (200, 18), (120, 9), (60, 6),
)  # fmt: skip
"""Prefill and decode in tokens/s: from a Strix Halo with models of several sizes to an old box."""
SOLVE_S = 20.0


@dataclass(frozen=True)
class Asked:
    """A request as it was planned, and the tokens that its answer will have."""

    job: Job
    answer: int


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def nodes() -> list[Node]:
    return [
        Node(f"n{at}", (0.0,), float(read), float(write)) for at, (read, write) in enumerate(SPEEDS)
    ]


def requests(seed: int) -> list[Asked]:
    """Short questions, questions with passages, and long answers."""
    chosen, found = random.Random(seed), []
    for _ in range(REQUESTS):
        kind = chosen.random()
        if kind < 0.4:
            job = Job(chosen.randint(50, 600), chosen.randint(30, 300))
        elif kind < 0.9:
            job = Job(chosen.randint(1500, 4500), chosen.randint(60, 400))
        else:
            job = Job(chosen.randint(500, 6000), chosen.randint(500, 1200))
        found.append(Asked(job, int(job.answer * chosen.uniform(0.6, 1.0))))
    return found


def took(asked: Asked, node: Node) -> float:
    """Seconds that the request really takes there."""
    return seconds(Job(asked.job.prompt, asked.answer), node).end


def scheduled(asked: Sequence[Asked]) -> float:
    """Seconds until all are answered, by the line as it is."""
    clock = Clock()
    line, known = Turns(clock=clock), {one.id: one for one in nodes()}
    line.stations = []  # so that all of them wait before the first begins
    waiting = {line.join(f"p{at % PEOPLE}", job=one.job): one for at, one in enumerate(asked)}
    line.stations = [Station(one, slots=1) for one in known.values()]
    line.advance()
    running: list[tuple[float, int]] = []
    places = list(waiting)
    seen: set[int] = set()
    while len(seen) < len(places) or running:
        for at, place in enumerate(places):
            if at not in seen and place.began is not None:
                seen.add(at)
                end = clock.now + took(waiting[place], known[place.node])
                heapq.heappush(running, (end, at))
        clock.now, at = heapq.heappop(running)
        places[at].leave()
    return clock.now


def best(asked: Sequence[Asked]) -> float:
    """Seconds that no schedule can beat."""
    table = np.array([[took(one, node) for node in nodes()] for one in asked])
    jobs, machines = table.shape
    size = jobs * machines + 1
    rows = lil_matrix((jobs + machines, size))
    least, most = np.full(jobs + machines, -np.inf), np.zeros(jobs + machines)
    for job in range(jobs):
        rows[job, job * machines : (job + 1) * machines] = 1
        least[job] = most[job] = 1
    for machine in range(machines):
        for job in range(jobs):
            rows[jobs + machine, job * machines + machine] = table[job, machine]
        rows[jobs + machine, size - 1] = -1
    goal = np.zeros(size)
    goal[-1] = 1
    upper = np.ones(size)
    upper[-1] = np.inf
    whole = np.ones(size)
    whole[-1] = 0
    solved = milp(
        goal,
        constraints=LinearConstraint(rows.tocsr(), least, most),
        bounds=Bounds(np.zeros(size), upper),
        integrality=whole,
        options={"time_limit": SOLVE_S},
    )
    return float(solved.mip_dual_bound)


def ratios(seeds: Sequence[int]) -> list[float]:
    """Total time to the best possible, for each set of requests."""
    return [scheduled(asked) / best(asked) for asked in map(requests, seeds)]
