"""Who belongs to a household, whatever a thief signs: removal is final, and nobody asks a clock."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goni_core.errors import BadInput
from goni_mesh import records, roster
from goni_mesh.keys import PrivateKey
from goni_mesh.records import Record
from goni_mesh.roster import Roster
from tests import family
from tests.family import admission, household, key, names, removal, with_records

A, B, C, R, F, G = NODES = tuple(key(number) for number in range(1, 7))
STRANGER = key(99)


def test_members_are_those_who_were_let_in() -> None:
    assert names(household(A, B, C), NODES) == [0, 1, 2]


def test_any_member_can_let_in_another() -> None:
    now = household(A, B)
    assert names(with_records(now, admission(now, C, B)), NODES) == [0, 1, 2]


def test_a_stranger_lets_nobody_in_even_with_the_owners_word() -> None:
    now = household(A)
    assert names(with_records(now, admission(now, F, STRANGER)), NODES) == [0]


def test_a_member_lets_nobody_in_without_the_owners_word() -> None:
    now = household(A, R)
    for word in (R, STRANGER, family.RECOVERY):
        assert with_records(now, admission(now, F, R, word=word)).records == now.records
        assert with_records(now, removal(now, A, R, word=word)).records == now.records


def test_a_record_of_another_household_is_left_out() -> None:
    now, other = household(A), family.founded(B)
    assert with_records(now, admission(other, F, A)).records == now.records


@pytest.mark.parametrize("part", ["author", "past", "target", "word", "household"])
def test_a_changed_record_is_left_out(part: str) -> None:
    now = household(A, B, R)
    good = removal(now, R, A)
    body = dict(good.body)
    body[part] = {"past": [], "word": "recovery"}.get(part, B.id)
    forged = records.parse({"body": body, "signatures": list(good.signatures)})
    assert with_records(now, forged).records == now.records


def test_a_removed_node_is_out_for_good() -> None:
    now = household(A, B, R)
    now = with_records(now, removal(now, R, A))
    assert names(now, NODES) == [0, 1]
    assert names(with_records(now, admission(now, R, B)), NODES) == [0, 1]


def test_who_was_let_in_before_the_removal_stays() -> None:
    now = household(A, R)
    now = with_records(now, admission(now, B, R))
    now = with_records(now, removal(now, R, A))
    assert names(now, NODES) == [0, 1]


def test_the_founder_can_be_removed_and_the_household_lives_on() -> None:
    now = household(A, B, C)
    now = with_records(now, removal(now, A, B))
    assert names(now, NODES) == [1, 2]
    assert names(with_records(now, admission(now, F, C)), NODES) == [1, 2, 4]


def thiefs_records(before: Roster, after: Roster) -> list[Record]:
    """All that somebody with R's key and the owner's password could sign, with every past."""
    forged = []
    for base, past in ((before, None), (after, None), (before, [before.household]), (before, [])):
        by_r = admission(base, F, R, past=past)
        forged.append(by_r)
        forged += [removal(base, node, R, past=past) for node in (A, B, C)]
        forged.append(admission(base, R, R, past=past))
        own = with_records(base, by_r)
        forged += [admission(own, G, F), admission(own, R, F), admission(own, G, R)]
        forged += [removal(own, node, F) for node in (A, B)]
    return forged


def test_a_stolen_node_neither_comes_back_nor_brings_friends() -> None:
    before = household(A, B, C, R)
    after = with_records(before, removal(before, R, A))
    for seed in range(5):
        forged = thiefs_records(before, after)
        random.Random(seed).shuffle(forged)
        now = after
        for one in forged:
            now = with_records(now, one)
            assert names(now, NODES) == [0, 1, 2]
        # ... and to a node that hears of the removal last.
        late = with_records(with_records(before, *forged), removal(before, R, A))
        assert names(late, NODES) == [0, 1, 2]


def test_of_two_removals_of_each_other_the_older_members_stands() -> None:
    now = household(A, B, R)
    ours, theirs = removal(now, R, B), removal(now, B, R)
    for order in ((ours, theirs), (theirs, ours)):
        assert names(with_records(now, *order), NODES) == [0, 1]


def test_the_recovery_key_outranks_a_thief_who_took_everything() -> None:
    """The founding node is stolen, and the owner's password known: the worst there is."""
    now = household(R, A, B)
    taken = with_records(now, removal(now, A, R))
    taken = with_records(taken, removal(taken, B, R))
    taken = with_records(taken, admission(taken, F, R))
    assert names(taken, NODES) == [3, 4]
    done = [one.hash for one in taken.records.values() if one.author == R.id]
    undo = [
        one
        for one in done
        if taken.records[one].kind == "remove" or taken.records[one].admitted == F.id
    ]
    back = with_records(taken, removal(taken, R, A, undo=undo, recovery=True))
    assert names(back, NODES) == [0, 1]
    more = with_records(back, removal(taken, A, R), admission(taken, G, F), removal(back, B, F))
    assert names(more, NODES) == [0, 1]


def test_the_recovery_key_lets_nobody_in() -> None:
    now = household(A)
    with pytest.raises(BadInput, match="nobody's word"):
        admission(now, F, A, recovery=True)


def test_records_wait_for_their_past() -> None:
    now = household(A)
    second = with_records(now, admission(now, B, A))
    third = with_records(second, admission(second, C, B))
    alone = {
        one: third.records[one] for one in third.records if third.records[one].admitted != B.id
    }
    waiting = Roster(now.household, alone, {})
    assert names(waiting, NODES) == [0]
    assert waiting.members.waiting
    assert names(waiting.merged(third), NODES) == [0, 1, 2]


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records by anybody about anybody on several sides of a split, in any order."""
    sides = [household(A, B, C)] * 3
    made: list[Record] = list(sides[0].records.values())
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, 2))
        by, about = draw(st.sampled_from(NODES)), draw(st.sampled_from(NODES))
        kind = draw(st.sampled_from([admission, removal]))
        one = kind(sides[at], about, by, recovery=kind is removal and draw(st.booleans()))
        sides[at] = with_records(sides[at], one)
        made.append(one)
        if draw(st.booleans()):
            other = draw(st.integers(0, 2))
            sides[at] = sides[at].merged(sides[other])
    return draw(st.permutations(made))


@settings(max_examples=40, deadline=None)
@given(histories(), st.integers(0, 20), st.integers(0, 20))
def test_merging_is_the_same_in_whatever_order_and_however_often(
    history: list[Record], one: int, two: int
) -> None:
    base = family.founded(A)
    x, y, z = (with_records(base, *part) for part in (history[:one], history[one:], history[two:]))
    assert x.merged(y).records.keys() == y.merged(x).records.keys()
    assert x.merged(y).merged(z).records == x.merged(y.merged(z)).records
    assert x.merged(x).records == x.records
    everything = with_records(base, *history)
    shuffled = with_records(base, *reversed(history))
    assert everything.members == shuffled.members


@settings(max_examples=40, deadline=None)
@given(histories())
def test_a_removed_nodes_later_records_change_nothing(history: list[Record]) -> None:
    now = with_records(family.founded(A), *history)
    by = next((node for node in NODES if node.id in now.members.standing), None)
    if by is None or R.id not in now.members.standing:
        now, by = household(A, B, R), A
    for past in (None, [now.household]):
        forged = [admission(now, F, R, past=past), removal(now, C, R, past=past)]
        senior = with_records(now, removal(now, R, by, recovery=True))
        assert with_records(senior, *forged).members.standing == senior.members.standing


def test_a_roster_is_read_back_as_it_was_written() -> None:
    now = household(A, B)
    now = family.edited(now, "setting/language", "de", B)
    assert roster.parse(now.plain()) == now


@pytest.mark.parametrize(
    "damage",
    [
        {"records": []},
        {"household": "0" * 64},
        {"records": [{"body": {}, "signatures": ["", ""]}]},
        {"entries": [{}]},
        {"more": 1},
    ],
)
def test_a_roster_that_is_none_is_refused(damage: dict) -> None:
    with pytest.raises(BadInput):
        roster.parse({**household(A).plain(), **damage})


def test_a_key_written_in_another_way_is_refused() -> None:
    now = household(A)
    good = admission(now, B, A)
    body = {**good.body, "node": good.body["node"].rstrip("=") + "\n=="}
    with pytest.raises(BadInput):
        records.parse({"body": body, "signatures": list(good.signatures)})


def test_keys_differ() -> None:
    assert len({node.id for node in NODES}) == len(NODES)
    assert repr(A) == f"PrivateKey({A.id[:16]})"
    assert isinstance(A, PrivateKey)
