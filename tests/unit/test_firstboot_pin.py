"""The PIN: what is taken, and how guessing is slowed."""

from __future__ import annotations

import pytest

from goni_firstboot import pin


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guess_wrong(gate: pin.Gate, times: int) -> None:
    for _ in range(times):
        assert not gate.admits("000000")


def test_new_pin_has_six_digits_and_differs_from_the_last() -> None:
    made = {pin.new() for _ in range(50)}
    assert all(len(one) == 6 and one.isdigit() for one in made)
    assert len(made) > 40


@pytest.mark.parametrize("typed", ["123456", "123 456", " 123-456 ", "12 34 56"])
def test_pin_may_be_typed_in_groups(typed: str) -> None:
    assert pin.cleaned(typed) == "123456"


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "²²²²²²", "123_456"])
def test_what_is_not_six_digits_is_no_pin(typed: str) -> None:
    assert pin.cleaned(typed) is None


def test_right_pin_is_admitted_at_the_fifth_try(clock: Clock) -> None:
    gate = pin.Gate("123456", clock)
    guess_wrong(gate, 4)
    assert gate.tries.left == 1
    assert gate.admits("123456")


def test_right_pin_is_refused_during_the_wait_and_admitted_after_it(clock: Clock) -> None:
    gate = pin.Gate("123456", clock)
    guess_wrong(gate, 5)
    assert gate.wait() == 30
    clock.now += 29.5
    assert gate.wait() == 1
    assert not gate.admits("123456")
    clock.now += 0.5
    assert gate.admits("123456")


def test_tries_during_the_wait_do_not_lengthen_it(clock: Clock) -> None:
    gate = pin.Gate("123456", clock)
    guess_wrong(gate, 50)
    assert gate.wait() == 30


def test_each_further_wrong_pin_doubles_the_wait_up_to_an_hour(clock: Clock) -> None:
    gate = pin.Gate("123456", clock)
    guess_wrong(gate, 4)
    waits = []
    for _ in range(9):
        guess_wrong(gate, 1)
        waits.append(gate.wait())
        clock.now += gate.wait()
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_right_pin_gives_a_guesser_no_new_tries(clock: Clock) -> None:
    gate = pin.Gate("123456", clock)
    guess_wrong(gate, 4)
    assert gate.admits("123456")
    guess_wrong(gate, 1)
    assert gate.wait() == 30


def test_a_week_of_guessing_stays_below_one_in_five_thousand(clock: Clock) -> None:
    gate = pin.Gate("999999", clock)
    end = clock.now + 7 * 86400
    while clock.now < end:
        guess_wrong(gate, 1)
        clock.now += gate.wait()
    assert gate.tries.wrong / 10**pin.DIGITS < 1 / 5000
