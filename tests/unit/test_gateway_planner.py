"""Where requests go: predictions, the choice for one, the plan for many, what is warm where."""

from __future__ import annotations

import pytest

from goni_gateway import planner, warmth
from goni_gateway.planner import Job, Node, assign, next_start, predict, ranked
from goni_gateway.turns import Station, Turns
from goni_gateway.warmth import Warmth

FAST = Node("fast", (0.0, 0.0), prefill=1000.0, decode=50.0)
SLOW = Node("slow", (0.0, 0.0), prefill=100.0, decode=10.0)
JOB = Job(prompt=1000, answer=100)


def ids(nodes: list[Node]) -> list[str]:
    return [node.id for node in nodes]


def test_a_prediction_is_queue_and_prefill_and_decode() -> None:
    seen = predict(JOB, FAST)
    assert seen.first == pytest.approx(1.0, abs=0.01)
    assert seen.end == pytest.approx(3.0, abs=0.01)
    busy = Node("fast", (4.0, 9.0), prefill=1000.0, decode=50.0)
    assert predict(JOB, busy).first == pytest.approx(5.0, abs=0.01)
    loading = Node("fast", (0.0,), prefill=1000.0, decode=50.0, load_s=7.0)
    assert predict(JOB, loading).first == pytest.approx(8.0, abs=0.01)
    usual = planner.seconds(planner.USUAL, FAST).end
    queue = Node("fast", (4.0,), prefill=1000.0, decode=50.0, waiting=2)
    assert predict(JOB, queue).first == pytest.approx(5.0 + 2 * usual, abs=0.01)


def test_one_request_goes_where_its_first_token_comes_soonest() -> None:
    assert ids(ranked(JOB, [SLOW, FAST])) == ["fast", "slow"]
    taken = Node("fast", (30.0, 30.0), prefill=1000.0, decode=50.0)
    assert ids(ranked(JOB, [taken, SLOW])) == ["slow", "fast"]


def test_a_warm_prefix_wins_until_its_node_is_too_busy() -> None:
    warm = Job(prompt=3000, answer=100, warm={"slow": 2950})
    assert ids(ranked(warm, [FAST, SLOW]))[0] == "fast"  # it writes too slowly to be worth it
    reader = Node("slow", (0.0,), prefill=100.0, decode=20.0)
    assert ids(ranked(warm, [FAST, reader]))[0] == "slow"
    busy = Node("slow", (60.0,), prefill=100.0, decode=20.0)
    assert ids(ranked(warm, [FAST, busy]))[0] == "fast"


def test_an_answer_slower_than_people_read_counts_as_late() -> None:
    crawls = Node("crawls", (0.0,), prefill=2000.0, decode=1.0)
    assert ids(ranked(JOB, [crawls, FAST])) == ["fast", "crawls"]


def test_nodes_that_may_not_or_cannot_take_it_are_left_out() -> None:
    assert ids(ranked(Job(nodes=frozenset(("slow",))), [FAST, SLOW])) == ["slow"]
    small = Node("small", (0.0,), context=512)
    assert ids(ranked(JOB, [small, SLOW])) == ["slow"]
    assert assign([JOB], [small]) == [None]
    # ... and what fits nowhere is asked somewhere, which says why.
    assert next_start([JOB], [small], frozenset(("small",))) == (0, "small")


def test_a_node_that_was_never_measured_is_neither_best_nor_useless() -> None:
    new = Node("new", (0.0,))
    assert ids(ranked(JOB, [new, FAST, SLOW])) == ["fast", "new", "slow"]


def test_the_longest_of_many_gets_the_fast_node() -> None:
    one = Node("fast", (0.0,), prefill=1000.0, decode=50.0)
    other = Node("slow", (0.0,), prefill=500.0, decode=25.0)
    long, short = Job(100, 1000), Job(100, 100)
    assert assign([short, short, long], [one, other]) == ["slow", "slow", "fast"]


def test_turns_begin_where_the_plan_says() -> None:
    line = Turns(clock=lambda: 0.0)
    line.stations = [Station(FAST, slots=1), Station(SLOW, slots=1)]
    first = line.join("ada", job=Job(1000, 100))
    # A short question is answered by the slow node before the fast one is free; a long one waits.
    second = line.join("bob", job=Job(100, 10))
    assert (first.node, second.node) == ("fast", "slow")
    third = line.join("eve", job=Job(1000, 100))
    assert third.began is None
    first.leave()
    assert third.node == "fast"


def test_another_nodes_people_count() -> None:
    line = Turns(clock=lambda: 0.0)
    line.stations = [Station(FAST, slots=2, others=2), Station(SLOW, slots=2)]
    assert line.join("ada", job=Job(100, 10)).node == "slow"


def test_warmth_is_each_persons_and_the_slots_few() -> None:
    held = Warmth()
    chat = [{"role": "user", "content": "a" * 400}, {"role": "assistant", "content": "b" * 400}]
    told = warmth.told("ada", chat)
    held.note("fast", "m", 2, told)
    more = warmth.told("ada", [*chat, {"role": "user", "content": "and then?"}])
    assert held.tokens("m", more, ["fast", "slow"]) == {"fast": told.tokens, "slow": 0}
    assert held.tokens("m", warmth.told("bob", chat), ["fast"]) == {"fast": 0}
    assert held.tokens("other", more, ["fast"]) == {"fast": 0}
    for number in range(2):
        held.note("fast", "m", 2, warmth.told("bob", [{"role": "user", "content": str(number)}]))
    assert held.tokens("m", more, ["fast"]) == {"fast": 0}
    held.note("fast", "m", 2, told)
    held.forget("fast")
    assert held.tokens("m", more, ["fast"]) == {"fast": 0}
