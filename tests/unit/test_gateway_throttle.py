"""Guessing gets slower, and only guessing."""

from __future__ import annotations

import pytest

from goni_core.errors import TooMany
from goni_gateway import throttle
from goni_gateway.throttle import Throttle, wait_after


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Throttle:
    return Throttle(clock)


def tries(door: Throttle, count: int, account: str = "ada", address: str = "10.0.0.9") -> None:
    for _ in range(count):
        door.attempt(account, address)


def test_five_tries_are_free_and_the_sixth_waits(door: Throttle) -> None:
    tries(door, 5)
    with pytest.raises(TooMany) as refused:
        door.attempt("ada", "10.0.0.9")
    assert refused.value.retry_after >= 1


def test_the_wait_doubles_up_to_a_limit() -> None:
    waits = [wait_after(count, 5) for count in range(4, 40)]
    assert waits[:4] == [0, 2, 4, 8]
    assert max(waits) == throttle.LONGEST_WAIT_S


def test_after_the_wait_one_more_try_is_free(door: Throttle, clock: Clock) -> None:
    tries(door, 5)
    clock.now += 2
    door.attempt("ada", "10.0.0.9")
    clock.now += 2
    with pytest.raises(TooMany):
        door.attempt("ada", "10.0.0.9")


def test_a_refused_try_does_not_lengthen_the_wait(door: Throttle, clock: Clock) -> None:
    tries(door, 5)
    for _ in range(20):
        with pytest.raises(TooMany):
            door.attempt("ada", "10.0.0.9")
    clock.now += 2
    door.attempt("ada", "10.0.0.9")


def test_somebody_elses_guessing_does_not_lock_the_owner_out(door: Throttle) -> None:
    tries(door, 5, address="10.0.0.66")
    door.attempt("ada", "10.0.0.9")


def test_signing_in_forgets_earlier_tries(door: Throttle) -> None:
    tries(door, 4)
    door.succeeded("ada", "10.0.0.9")
    tries(door, 5)


def test_many_addresses_do_not_help(door: Throttle) -> None:
    with pytest.raises(TooMany):
        for number in range(31):
            door.attempt("ada", f"10.0.0.{number}")


def test_many_names_do_not_help(door: Throttle) -> None:
    with pytest.raises(TooMany):
        for number in range(31):
            door.attempt(f"name{number}", "10.0.0.66")


def test_signing_in_as_oneself_buys_no_tries_at_others(door: Throttle) -> None:
    with pytest.raises(TooMany):
        for number in range(31):
            door.attempt(f"name{number}", "10.0.0.66")
            door.attempt("eve", "10.0.0.66")
            door.succeeded("eve", "10.0.0.66")


def test_an_hour_later_all_is_forgotten(door: Throttle, clock: Clock) -> None:
    tries(door, 5)
    clock.now += throttle.FORGET_S + 1
    tries(door, 5)


def test_memory_stays_bounded(door: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_ENTRIES", 100)
    for number in range(500):
        door.attempt(f"name{number}", f"address{number}")
    assert len(door._records) == 100
