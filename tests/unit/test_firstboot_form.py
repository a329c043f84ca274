"""The setup form: what is taken, and what each field's fault is."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from goni_core.errors import BadInput
from goni_firstboot import form

GOOD = {
    "node_name": "kitchen",
    "owner_name": "Ada",
    "password": "correct horse",
    "password_again": "correct horse",
}


def test_good_answers_have_no_fault() -> None:
    answers = form.answers(form.decode(urlencode(GOOD).encode()))
    assert (answers.node_name, answers.owner_name, answers.password) == (
        "kitchen",
        "Ada",
        "correct horse",
    )
    assert answers.faults == {}


def test_names_are_tidied_and_passwords_are_not() -> None:
    answers = form.answers(
        {
            "node_name": "  Kitchen ",
            "owner_name": " Zoe\u0308   of  Hill ",
            "password": "  spaces  ",
            "password_again": "  spaces  ",
        }
    )
    assert answers.node_name == "kitchen"
    assert answers.owner_name == "Zoë of Hill"
    assert answers.password == "  spaces  "
    assert answers.faults == {}


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("node_name", "", "node_name_missing"),
        ("node_name", "-kitchen", "node_name_bad"),
        ("node_name", "kitchen-", "node_name_bad"),
        ("node_name", "my.kitchen", "node_name_bad"),
        ("node_name", "küche", "node_name_bad"),
        ("node_name", "a" * 64, "node_name_bad"),
        ("node_name", "kitchen\nlocalhost", "node_name_bad"),
        ("owner_name", "  ", "owner_name_missing"),
        ("owner_name", "a" * 61, "owner_name_long"),
        ("owner_name", "Ada\u202egnp", "owner_name_bad"),
        ("owner_name", "Ada\x1b[2J", "owner_name_bad"),
        ("password", "", "password_missing"),
        ("password", "seven77", "password_short"),
        ("password", "x" * 201, "password_long"),
        ("password", "eight\x00888", "password_bad"),
    ],
)
def test_bad_value_is_a_fault_of_its_field(field: str, value: str, fault: str) -> None:
    given = {**GOOD, field: value}
    if field == "password":
        given["password_again"] = value
    assert form.answers(given).faults == {field: fault}


def test_second_password_must_be_there_and_the_same() -> None:
    differs = form.answers({**GOOD, "password_again": "another horse"})
    missing = form.answers({**GOOD, "password_again": ""})
    assert differs.faults == {"password_again": "password_again_differs"}
    assert missing.faults == {"password_again": "password_again_missing"}


def test_missing_fields_are_all_named() -> None:
    assert set(form.answers({}).faults) == {"node_name", "owner_name", "password"}


def test_password_is_not_in_the_answers_representation() -> None:
    assert "horse" not in repr(form.answers(GOOD))


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"name=%ff%fe", b"&".join(b"a=1" for _ in range(21))]
)
def test_body_that_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        form.decode(body)
