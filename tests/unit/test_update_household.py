"""Whose turn it is to update: what each node of a household decides from what the others said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from goni_update import version
from goni_update.household import (
    ABSENT_S,
    LEFT,
    PROOF,
    PROVED,
    TRIAL,
    TRYING,
    Member,
    Report,
    members,
    must_wait,
)

NOW = datetime(2027, 3, 1, 2, 30, tzinfo=UTC)
OLD, NEW = version.parse("0.1.0"), version.parse("0.2.0")
NAMES = ("kitchen", "study", "attic", "cellar")
EVERYBODY = tuple(Member(name, name, OLD, 1.0) for name in NAMES)


def others(me: str, nodes: Sequence[Member] = EVERYBODY) -> list[Member]:
    return [one for one in nodes if one.id != me]


def going(nodes: Sequence[Member], now: datetime = NOW) -> list[str]:
    """Who would begin now by itself."""
    return [one.id for one in nodes if not must_wait(one.id, others(one.id, nodes), NEW, now=now)]


def saying(nodes: Sequence[Member], name: str, what: str, at: datetime = NOW) -> list[Member]:
    report = Report(NEW, what, at)
    return [replace(one, report=report) if one.id == name else one for one in nodes]


def test_a_node_that_is_alone_waits_for_nobody() -> None:
    assert must_wait("kitchen", (), NEW, now=NOW) == ""


def test_exactly_one_node_goes_first_and_each_release_has_its_own_order() -> None:
    assert len(going(EVERYBODY)) == 1
    first = {
        min(
            NAMES,
            key=lambda me: bool(must_wait(me, others(me), version.parse(f"0.{n}.0"), now=NOW)),
        )
        for n in range(2, 40)
    }
    assert first == set(NAMES)


def test_a_household_follows_one_by_one_and_never_two_at_once() -> None:
    nodes, now, order = list(EVERYBODY), NOW, []
    while len(order) < len(NAMES):
        (name,) = [one for one in going(nodes, now) if one not in order]
        order.append(name)
        nodes = saying(nodes, name, TRYING, now)
        assert [one for one in going(nodes, now) if one != name] == []
        nodes = saying(nodes, name, PROVED, now + timedelta(minutes=10))
        nodes = [replace(one, running=NEW) if one.id == name else one for one in nodes]
        soon = now + timedelta(minutes=20)
        assert [one for one in going(nodes, soon) if one not in order] == []
        now += timedelta(minutes=10) + PROOF
    assert sorted(order) == sorted(NAMES)


def test_a_version_that_failed_on_one_node_is_not_taken_by_the_others() -> None:
    (first,) = going(EVERYBODY)
    nodes = saying(EVERYBODY, first, LEFT)
    for name in NAMES:
        if name != first:
            assert must_wait(name, others(name, nodes), NEW, now=NOW) == f"0.2.0 failed on {first}"
            # A person who wants it all the same gets it.
            assert must_wait(name, others(name, nodes), NEW, now=NOW, by_hand=True) == ""


def test_even_a_person_waits_while_another_node_is_at_it() -> None:
    nodes = saying(EVERYBODY, "study", TRYING, NOW - timedelta(minutes=5))
    words = must_wait("attic", others("attic", nodes), NEW, now=NOW, by_hand=True)
    assert words == "study is installing 0.2.0; one node at a time"
    assert must_wait("attic", others("attic", nodes), NEW, now=NOW + TRIAL, by_hand=True) == ""


@pytest.mark.parametrize(("seen", "waits"), [(5.0, True), (ABSENT_S + 1, False), (-1.0, False)])
def test_a_node_that_is_gone_for_days_holds_nobody_up(seen: float, waits: bool) -> None:
    (first,) = going(EVERYBODY)
    nodes = [replace(one, seen=seen) if one.id == first else one for one in EVERYBODY]
    assert bool([one for one in going(nodes) if one != first]) == (not waits)


def test_a_node_that_was_flashed_with_the_version_has_proved_it() -> None:
    (first,) = going(EVERYBODY)
    nodes = [replace(one, running=NEW) if one.id == first else one for one in EVERYBODY]
    assert len([one for one in going(nodes) if one != first]) == 1


def test_reports_are_read_as_their_nodes_wrote_them() -> None:
    peers = {
        "peers": [
            {"id": "a" * 64, "name": "kitchen", "version": "0.1.0", "seen": 3.5},
            {"id": "b" * 64, "name": "study", "version": "", "seen": -1},
        ]
    }
    value = Report(NEW, TRYING, NOW).plain()
    roster = {
        "fields": [
            {"name": f"update/{'a' * 64}", "author": "a" * 64, "value": value},
            # Written by somebody else: no node speaks for another.
            {"name": f"update/{'b' * 64}", "author": "a" * 64, "value": value},
            {"name": "setting/language", "author": "b" * 64, "value": "de"},
        ]
    }
    kitchen, study = members(peers, roster)
    assert kitchen == Member("a" * 64, "kitchen", OLD, 3.5, Report(NEW, TRYING, NOW))
    assert study == Member("b" * 64, "study", None, -1.0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "trying",
        {},
        {"version": "0.2.0", "state": "odd", "at": NOW.isoformat()},
        {"version": "x", "state": TRYING, "at": NOW.isoformat()},
        {"version": "0.2.0", "state": TRYING, "at": "yesterday"},
        {"version": "0.2.0", "state": TRYING, "at": "2027-03-01T02:30:00"},
    ],
)
def test_what_is_no_report_counts_for_nothing(value: object) -> None:
    peers = {"peers": [{"id": "a", "name": "kitchen", "version": "0.1.0", "seen": 1}]}
    roster = {"fields": [{"name": "update/a", "author": "a", "value": value}]}
    assert members(peers, roster)[0].report is None
