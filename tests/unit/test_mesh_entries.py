"""Fields of the roster: edits on both sides of a split, and what forged ones come to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goni_core.errors import BadInput
from goni_mesh import entries
from goni_mesh.entries import Entry
from goni_mesh.roster import Roster
from tests import family
from tests.family import edited, entry, household, key, removal, with_entries, with_records

A, B, R = NODES = tuple(key(number) for number in (1, 2, 4))
BASE = household(*NODES)
FIELD = "setting/language"


def values(now: Roster, name: str = FIELD) -> tuple[object, list[object]]:
    shown = now.shown[name]
    return shown.winner.value, [one.value for one in shown.beside]


def test_the_later_edit_wins_when_it_saw_the_earlier() -> None:
    now = edited(edited(BASE, FIELD, "en", A), FIELD, "de", B)
    assert values(now) == ("de", [])
    assert values(edited(now, FIELD, "fr", A)) == ("fr", [])


def test_edits_on_both_sides_of_a_split_are_both_kept_until_one_settles_it() -> None:
    left, right = edited(BASE, FIELD, "en", A), edited(BASE, FIELD, "de", B)
    healed, other = left.merged(right), right.merged(left)
    assert values(healed) == values(other)
    winner, beside = values(healed)
    assert {winner, *beside} == {"en", "de"}
    assert values(edited(healed, FIELD, "fr", A)) == ("fr", [])


def test_edits_of_different_fields_do_not_meet() -> None:
    left, right = edited(BASE, FIELD, "en", A), edited(BASE, "setting/zone", "UTC", B)
    healed = left.merged(right)
    assert values(healed) == ("en", [])
    assert values(healed, "setting/zone") == ("UTC", [])


def test_a_removed_nodes_edits_count_for_nothing_and_are_kept_aside() -> None:
    now = edited(edited(BASE, FIELD, "en", A), FIELD, "stolen", R)
    now = with_records(now, removal(now, R, A))
    assert values(now) == ("en", [])
    assert [one.value for one in now.aside] == ["stolen"]


def test_a_node_that_claims_to_have_seen_the_future_rules_nobody() -> None:
    liar = entry(BASE, FIELD, "mine", R, {A.id: 1 << 40, B.id: 1 << 40})
    now = edited(with_entries(BASE, liar), FIELD, "ours", A)
    assert "ours" in [values(now)[0], *values(now)[1]]
    assert values(edited(now, FIELD, "ours", A))[0] is not None


def test_an_entry_by_a_stranger_or_with_a_bad_signature_is_left_out() -> None:
    good = entry(BASE, FIELD, "en", A)
    forged = entries.parse(
        {"body": {**good.body, "value": "de"}, "signature": good.signature}, BASE.household
    )
    assert with_entries(BASE, forged, entry(BASE, FIELD, "x", key(99))).entries == {}


@pytest.mark.parametrize(
    "damage",
    [
        {"household": "0" * 64},
        {"author": "x"},
        {"number": 0},
        {"number": 1 << 60},
        {"number": True},
        {"seen": []},
        {"seen": {"x": 1}},
        {"seen": {A.id: 5}},
        {"seen": {B.id: -1}},
        {"seen": {f"{number:064x}": 1 for number in range(257)}},
        {"key": "Setting"},
        {"key": "setting/../x y"},
        {"value": "x" * 20_000},
        {"more": 1},
    ],
)
def test_an_entry_that_is_none_is_refused(damage: dict) -> None:
    good = entry(BASE, FIELD, "en", A)
    with pytest.raises(BadInput):
        entries.parse({"body": {**good.body, **damage}, "signature": ""}, BASE.household)


def test_one_author_can_not_fill_the_roster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MOST_OF_ONE", 3)
    now = BASE
    for number in range(6):
        now = edited(now, f"setting/n{number}", number, R)
    assert len(now.entries) == 3
    assert len(edited(now, FIELD, "en", A).entries) == 4


@st.composite
def edits(draw: st.DrawFn) -> list[Entry]:
    """Edits of three fields on three sides that meet now and then, and forged ones."""
    sides = [BASE] * 3
    made = []
    for value in range(draw(st.integers(1, 12))):
        at, name = draw(st.integers(0, 2)), draw(st.sampled_from(["a/b", "a/c", "a/d"]))
        seen = draw(st.sampled_from([None, {}, {A.id: 1 << 30}]))
        by = NODES[at]
        if seen and by is A:
            seen = None
        one = entry(sides[at], name, value, by, seen)
        made.append(one)
        sides[at] = with_entries(sides[at], one)
        if draw(st.booleans()):
            sides[at] = sides[at].merged(sides[draw(st.integers(0, 2))])
    return draw(st.permutations(made))


@settings(max_examples=40, deadline=None)
@given(edits(), st.integers(0, 12), st.integers(0, 12))
def test_merging_is_the_same_in_whatever_order_and_however_often(
    some: list[Entry], one: int, two: int
) -> None:
    x, y, z = (with_entries(BASE, *part) for part in (some[:one], some[one:], some[two:]))
    assert x.merged(y).entries == y.merged(x).entries
    assert x.merged(y).merged(z).entries == x.merged(y.merged(z)).entries
    assert x.merged(x).entries == x.entries
    assert x.merged(y).shown == y.merged(x).shown


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=10))
def test_no_edit_is_lost_that_nobody_replaced(steps: list[tuple[int, bool]]) -> None:
    """Of honest nodes: after the split heals, each value is shown or was seen by one that is."""
    sides = [BASE] * 3
    made = []
    for value, (at, meets) in enumerate(steps):
        if meets:
            sides[at] = sides[at].merged(sides[(at + 1) % 3])
        one = entry(sides[at], FIELD, value, NODES[at])
        made.append(one)
        sides[at] = with_entries(sides[at], one)
    healed = sides[0].merged(sides[1]).merged(sides[2])
    shown = healed.shown[FIELD]
    alive = [shown.winner, *shown.beside]
    for one in made:
        assert one in alive or any(other.replaces(one) for other in made)
    for one in alive:
        assert not any(other.replaces(one) for other in made)


def test_family_is_as_it_says() -> None:
    assert family.names(BASE, NODES) == [0, 1, 2]
