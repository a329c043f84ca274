"""Turns: round robin between people, interactive first, bounded, nothing lost."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from goni_core.errors import TooMany
from goni_gateway import turns
from goni_gateway.turns import Lines, Place, Station, Turns


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(places: list[Place]) -> list[Place]:
    return [place for place in places if place.began is not None]


def served(line: Turns, places: list[Place]) -> list[str]:
    """Whose turn it is, one after the other, until nobody waits."""
    order: list[str] = []
    left = list(places)
    while ready := begun(left):
        for place in ready:
            order.append(place.person)
            left.remove(place)
            line.leave(place)
    assert not left
    return order


def test_as_many_run_as_there_are_slots() -> None:
    line = Turns(3)
    places = [line.join("ada") for _ in range(5)]
    assert len(begun(places)) == line.running == 3
    places[0].leave()
    assert len(begun(places)) == 4
    assert (line.running, line.waiting) == (3, 1)


def test_people_take_turns_however_much_one_of_them_asks() -> None:
    line = Turns(1)
    places = [line.join("ada") for _ in range(4)]
    places += [line.join(person) for person in ("bob", "eve", "bob")]
    assert served(line, places) == ["ada", "ada", "bob", "eve", "ada", "bob", "ada"]


def test_one_persons_requests_keep_their_order() -> None:
    line = Turns(1)
    places = [line.join("ada") for _ in range(5)]
    for place, following in pairwise(places):
        assert following.began is None
        place.leave()
        assert following.began is not None


def test_interactive_goes_before_background() -> None:
    line = Turns(1)
    running = line.join("ada")
    batch, question = line.join("ada", background=True), line.join("bob")
    running.leave()
    assert (batch.began, question.began is not None) == (None, True)
    question.leave()
    assert batch.began is not None


def test_background_leaves_a_slot_alone_and_takes_the_only_one() -> None:
    line = Turns(3)
    batches = [line.join("ada", background=True) for _ in range(3)]
    assert len(begun(batches)) == 2
    assert line.join("bob").began is not None
    assert Turns(1).join("ada", background=True).began is not None


def test_nobodys_turn_ends_for_another() -> None:
    line = Turns(2)
    running = [line.join("ada", background=True), line.join("ada")]
    for _ in range(10):
        line.join("bob")
    assert begun(running) == running
    assert line.running == 2


def test_leaving_the_line_or_leaving_twice_harms_nobody() -> None:
    line = Turns(1)
    first, gone, last = (line.join("ada") for _ in range(3))
    gone.leave()
    gone.leave()
    first.leave()
    first.leave()
    assert last.began is not None
    assert (line.running, line.waiting) == (1, 0)


def test_a_full_line_refuses_its_person_and_nobody_else(clock: Clock) -> None:
    line = Turns(1, clock)
    first = line.join("ada")
    for _ in range(turns.MOST_EACH):
        line.join("ada")
    for background in (False, True):
        with pytest.raises(TooMany) as refused:
            line.join("ada", background=background)
    assert refused.value.code == "queue_full"
    assert refused.value.retry_after >= 1
    assert line.join("bob").began is None
    clock.now = 0.5
    first.leave()
    assert line.full().retry_after == 32


def test_many_people_cannot_fill_the_memory() -> None:
    line = Turns(1)
    with pytest.raises(TooMany):
        for number in range(turns.MOST + 2):
            line.join(f"person {number}")
    assert line.waiting == turns.MOST


def test_waiting_has_an_end_and_is_measured(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        waits: list[float] = []
        line = Turns(1, clock, waits.append)
        first, second = line.join("ada"), line.join("bob")
        await first.reached()
        clock.now = 3
        with pytest.raises(TooMany), second:
            await second.reached()
        assert line.waiting == 0
        third = line.join("bob")
        clock.now = 5
        first.leave()
        await third.reached()
        assert waits == [0, 2]

    monkeypatch.setattr(turns, "WAIT_S", 0.01)
    asyncio.run(scene())


def test_more_slots_come_with_the_next_request() -> None:
    lines = Lines()
    places = [
        lines.at("m", [Station(slots=1)]).join("ada"),
        lines.at("m", [Station(slots=1)]).join("bob"),
    ]
    assert len(begun(places)) == 1
    places.append(lines.at("m", [Station(slots=3)]).join("eve"))
    assert len(begun(places)) == 3
    assert lines.at("m").slots == 3
    assert list(lines.all()) == ["m"]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_the_turns_are_fair_and_none_is_lost(seed: int) -> None:
    """A random life. Between two turns of a waiting person no other person has more than one, at
    the same level; slots are neither idle beside waiting people nor taken twice.
    """
    chance = random.Random(seed)
    line = Turns(chance.randint(1, 4))
    alive: list[Place] = []
    # How often others had a turn while somebody waited for one of the same level.
    passed_by: dict[tuple[str, bool], dict[str, int]] = {}
    for _ in range(400):
        before = set(begun(alive))
        waited = {(place.person, place.background) for place in alive if place.began is None}
        if alive and chance.random() < 0.5:
            place = alive.pop(chance.randrange(len(alive)))
            before.discard(place)
            place.leave()
        else:
            person, background = f"p{chance.randint(0, 5)}", chance.random() < 0.3
            alive.append(line.join(person, background=background))
        assert before <= set(begun(alive)), "a turn was taken away"
        for place in set(begun(alive)) - before:
            level = place.background
            assert not (level and any(not background for _, background in waited))
            passed_by.pop((place.person, level), None)
            for person, background in waited:
                if background == level and person != place.person:
                    counts = passed_by.setdefault((person, level), {})
                    counts[place.person] = counts.get(place.person, 0) + 1
        still = {(place.person, place.background) for place in alive if place.began is None}
        passed_by = {who: counts for who, counts in passed_by.items() if who in still}
        assert all(count <= 1 for counts in passed_by.values() for count in counts.values())
        assert line.running == len(begun(alive)) <= line.slots
        assert line.waiting == len(alive) - line.running
        if line.running < line.slots:
            assert all(background for _, background in still)
            assert not still or line.running == line.slots - 1
