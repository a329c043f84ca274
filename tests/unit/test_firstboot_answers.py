"""Answers on the disk, and those that came on the stick."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goni_core.errors import BadInput
from goni_firstboot import answers, journey
from goni_firstboot.answers import Answers, Store

STEPS = ("language", "name", "network", "summary")


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    given = Answers(node_name="kitchen", recovery=True).answering("name").skipping("network")
    Store(tmp_path).keep(given)
    (tmp_path / ".0123456789abcdef.incoming").write_bytes(b"{")
    assert Store(tmp_path, Answers(node_name="stick")).answers == given
    assert [one.name for one in tmp_path.iterdir()] == ["answers.json"]
    assert (tmp_path / "answers.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"surprise": 1}',
        b'{"node_name": 1}',
        b'{"recovery": "yes"}',
        b'{"answered": "name"}',
        b'{"answered": [1]}',
        json.dumps({"answered": ["x"] * 51}).encode(),
        json.dumps({"node_name": "x" * 201}).encode(),
        b" " * (answers.LIMIT + 1),
    ],
)
def test_hostile_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        answers.parse(data)


def test_stick_answers_first_and_nothing_of_it_counts_as_answered(tmp_path: Path) -> None:
    said = {"node_name": "attic", "owner": "Ada", "language": "de-AT", "trouble": "no such disk"}
    (tmp_path / "preseed.json").write_text(json.dumps(said))
    found = answers.preseeded(tmp_path / "preseed.json")
    assert found.answers == Answers(language="de", node_name="attic", owner_name="Ada")
    assert found.trouble == "no such disk"
    store = Store(tmp_path / "state", found.answers)
    assert store.language == "de"
    assert journey.current(STEPS, store.answers) == "language"


@pytest.mark.parametrize("data", [b"", b"nonsense", b'{"owner": 1}', b'{"owner": "' + b"x" * 999])
def test_stick_that_can_not_be_read_answers_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "preseed.json").write_bytes(data)
    assert answers.preseeded(tmp_path / "preseed.json").answers == Answers()
    assert answers.preseeded(tmp_path / "none").answers == Answers()


def test_row_of_steps_is_walked_in_order_and_back() -> None:
    given = Answers()
    assert journey.current(STEPS, given) == "language"
    assert not journey.reachable(STEPS, given, "name")
    given = given.answering("language").answering("name").skipping("network")
    assert journey.current(STEPS, given) == "summary"
    assert journey.reachable(STEPS, given, "language")
    assert journey.place(STEPS, "name") == journey.Place("name", 2, 4, "language")
    assert journey.place(STEPS, "language").back is None
    assert journey.after(STEPS, "summary") == "summary"
    assert journey.current(STEPS, given.reopening("name")) == "name"
    # An answer that came later takes the place of the skip, and a skip that of no answer.
    assert given.answering("network").skipped == ()
    assert given.skipping("name") == given
