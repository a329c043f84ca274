"""Slots go out in order, to the person they know, and to nobody else with what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from goni_engine.seats import NotBegun, Seats, Turn, marks_of

ANNA = marks_of(["hello", "and then?"])
BEN = marks_of(["hello", "something else"])


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


async def sit(seats: Seats, person: str, marks: tuple[bytes, ...] = ()) -> Turn:
    async with seats.take(person, marks) as turn:
        return turn


def test_what_a_slot_holds_is_used_again_for_the_same_person_only() -> None:
    async def scenario() -> None:
        seats = Seats(1)
        assert not (await sit(seats, "anna", ANNA)).again
        assert (await sit(seats, "anna", ANNA)).again
        assert not (await sit(seats, "ben", ANNA)).again
        assert not (await sit(seats, "anna", ANNA)).again
        assert not (await sit(seats, "", ANNA)).again
        assert not (await sit(seats, "", ANNA)).again

    run(scenario())


def test_a_person_gets_the_slot_that_holds_the_same_chat() -> None:
    async def scenario() -> None:
        seats = Seats(3)
        async with seats.take("anna", ANNA) as first, seats.take("anna", BEN) as second:
            pass
        assert (await sit(seats, "anna", (*BEN, b"more"))).slot == second.slot
        assert (await sit(seats, "anna", (*ANNA, b"more"))).slot == first.slot
        assert (await sit(seats, "carl", ANNA)).slot not in (first.slot, second.slot)

    run(scenario())


def test_who_waits_is_served_in_order_and_a_hang_up_costs_nobody_his_turn() -> None:
    async def scenario() -> None:
        seats = Seats(1)
        order: list[str] = []

        async def wait(name: str) -> None:
            async with seats.take(name, ()):
                order.append(name)

        async with seats.take("first", ()):
            tasks = [asyncio.create_task(wait(name)) for name in "abcd"]
            await asyncio.sleep(0)
            assert (seats.busy, seats.waiting) == (1, 4)
            tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["a", "d"]
        assert (seats.busy, seats.waiting) == (0, 0)

    run(scenario())


def test_a_slot_that_comes_free_goes_to_all_who_can_have_one() -> None:
    async def scenario() -> None:
        seats = Seats(2)
        async with seats.take("a", ()), seats.take("b", ()):
            tasks = [asyncio.create_task(sit(seats, name)) for name in "cdefg"]
            await asyncio.sleep(0)
        turns = await asyncio.wait_for(asyncio.gather(*tasks), 1)
        assert {turn.slot for turn in turns} == {0, 1}

    run(scenario())


def test_who_waits_at_a_model_that_ends_is_told_that_nothing_was_begun() -> None:
    async def scenario() -> None:
        seats = Seats(1)
        async with seats.take("a", ()):
            waiting = asyncio.create_task(sit(seats, "b"))
            await asyncio.sleep(0)
            seats.close()
            with pytest.raises(NotBegun):
                await waiting
        with pytest.raises(NotBegun):
            await sit(seats, "c")

    run(scenario())


def test_marks_show_where_two_conversations_part() -> None:
    assert ANNA[0] == BEN[0]
    assert ANNA[1] != BEN[1]
    assert all(len(mark) == 8 for mark in ANNA)
