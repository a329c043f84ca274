"""Accounts of two nodes and the roster between them, without either's network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_core.errors import Conflict
from goni_gateway import accounts, people, sessions
from goni_gateway.database import Database
from goni_gateway.people import Person

HASHES = [f"$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHRzYWx0$aGFzaG{one}" for one in "abcdef"]
Roster = dict[str, object]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Database]]:
    made = [Database(tmp_path / f"{name}.db") for name in "ab"]
    yield made
    for one in made:
        one.close()


def set_up(node: Database, name: str = "Ada") -> Person:
    return node.run(people.set_up, name, HASHES[0], "kitchen")


def settle(node: Database, roster: Roster, household: str = "home") -> None:
    for key, value in node.run(accounts.settle, household, dict(roster)):
        roster[key] = value
        node.run(accounts.note, key, value)


def names(node: Database) -> list[str]:
    return [one.name for one in node.run(people.listed)]


def test_who_is_added_on_one_node_is_known_on_the_other(two: list[Database]) -> None:
    first, second = two
    roster: Roster = {}
    ada = set_up(first)
    settle(first, roster)
    settle(second, roster)
    assert second.run(people.named, "Ada") == (ada, HASHES[0])
    # The joining node belongs to the household's owner.
    assert second.run(people.complete, "attic") == ada
    grace = second.run(people.add, "Grace", "member", HASHES[1])
    settle(second, roster)
    settle(first, roster)
    assert first.run(people.named, "grace") == (grace, HASHES[1])
    before = dict(roster)
    for node in (first, second, first):
        settle(node, roster)
    assert roster == before


def test_a_new_password_ends_the_sessions_elsewhere(two: list[Database]) -> None:
    first, second = two
    roster: Roster = {}
    ada = set_up(first)
    settle(first, roster)
    settle(second, roster)
    second.run(people.complete, "attic")
    token = second.run(sessions.start, ada)
    first.run(people.set_password, ada, HASHES[2])
    settle(first, roster)
    settle(second, roster)
    found = second.run(people.named, "Ada")
    assert found and found[1] == HASHES[2]
    assert second.run(sessions.person_of, token) is None


def test_who_is_removed_is_locked_out_everywhere_and_stays_so(two: list[Database]) -> None:
    first, second = two
    roster: Roster = {}
    ada = set_up(first)
    grace = first.run(people.add, "Grace", "member", HASHES[1])
    settle(first, roster)
    settle(second, roster)
    second.run(people.complete, "attic")
    first.run(people.lock_out, ada, grace.id, "Grace")
    settle(first, roster)
    first.run(people.remove, grace.id)
    # On the other side of a split she changes her password meanwhile.
    second.run(people.set_password, grace, HASHES[3])
    settle(second, roster)
    settle(first, roster)
    settle(second, roster)
    assert second.run(accounts.leaving) == [grace.id]
    second.run(people.remove, grace.id)
    for node in (first, second, first, second):
        settle(node, roster)
        assert names(node) == ["Ada"]


def test_the_same_name_given_on_both_sides_of_a_split_is_told_apart(two: list[Database]) -> None:
    first, second = two
    roster: Roster = {}
    set_up(first)
    settle(first, roster)
    settle(second, roster)
    second.run(people.complete, "attic")
    first.run(people.add, "Grace", "member", HASHES[1])
    second.run(people.add, "GRACE", "member", HASHES[2])
    for node in (first, second, first, second):
        settle(node, roster)
    assert sorted(names(first)) == sorted(names(second))
    assert len(names(first)) == 3
    passwords = {first.run(people.named, name)[1] for name in names(first)}  # type: ignore[index]
    assert passwords == {HASHES[0], HASHES[1], HASHES[2]}
    for name in names(first):
        assert first.run(people.named, name) == second.run(people.named, name)


def test_who_was_named_while_setting_up_gives_way_to_the_household(two: list[Database]) -> None:
    first, second = two
    roster: Roster = {}
    ada = set_up(first)
    second.run(people.name_owner, "Eve", HASHES[4])
    settle(second, roster)
    assert roster == {}
    settle(first, roster)
    settle(second, roster)
    assert names(second) == ["Ada"]
    assert second.run(people.complete, "attic") == ada


def test_a_node_that_had_people_of_its_own_brings_none_along(two: list[Database]) -> None:
    first, second = two
    roster: Roster = {}
    set_up(first)
    settle(first, roster)
    set_up(second, "Eve")
    settle(second, roster)
    settle(second, roster)
    settle(first, roster)
    assert names(first) == ["Ada"]
    assert set(names(second)) == {"Ada", "Eve"}


def test_owners_who_remove_each_other_leave_the_first(two: list[Database]) -> None:
    first, second = two
    roster: Roster = {}
    ada = set_up(first)
    eve = first.run(people.add, "Eve", "owner", HASHES[1])
    settle(first, roster)
    settle(second, roster)
    second.run(people.complete, "attic")
    first.run(people.lock_out, ada, eve.id, "Eve")
    second.run(people.lock_out, eve, ada.id, "Ada")
    for node in (first, second, first, second):
        settle(node, roster)
    standing = [
        [one for one in node.run(people.listed) if not one.locked and one.role == "owner"]
        for node in two
    ]
    assert [len(one) for one in standing] == [1, 1]
    assert standing[0][0].id == standing[1][0].id


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "", "role": "owner", "created": 1},
        {"name": "Mallory", "role": "king", "created": 1},
        {"name": "Mallory", "role": "owner", "created": -1},
        {"name": ["Mallory"], "role": "owner", "created": 1},
        "Mallory",
        None,
    ],
)
def test_what_is_no_account_is_not_taken(two: list[Database], broken: object) -> None:
    node = two[0]
    set_up(node)
    key = "person/0123456789abcdef"
    whole = {"name": "Mallory", "role": "owner", "created": 1}
    for roster in (
        {key: broken, f"{key}/password": HASHES[0]},
        {key: whole},
        {key: whole, f"{key}/password": ""},
        {key: whole, f"{key}/password": "none"},
        {key: whole, f"{key}/password": 7},
        {"person/../etc": whole, "person/../etc/password": HASHES[0]},
    ):
        settle(node, dict(roster))
        assert names(node) == ["Ada"]


def test_the_first_owner_is_named_once(two: list[Database]) -> None:
    set_up(two[0])
    with pytest.raises(Conflict):
        two[0].run(people.name_owner, "Eve", HASHES[0])
