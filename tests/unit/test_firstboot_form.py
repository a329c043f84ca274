"""What is typed into the steps' forms: what is taken, and what each field's fault is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from goni_core.errors import BadInput
from goni_core.http import Service
from goni_firstboot import form, texts, zones
from goni_firstboot.answers import Answers
from goni_firstboot.step import Again, Memory, Outcome, Step, Visit
from goni_firstboot.steps.language import Language
from goni_firstboot.steps.name import Name
from goni_firstboot.steps.owner import Owner, faults
from goni_firstboot.steps.recovery import confirms

PASSWORD = "correct horse"
KEY = "cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-vutrnlkj"


def taken(step: Step, **typed: str) -> Outcome:
    visit = Visit(Answers(), texts.load(), Memory())
    return asyncio.run(step.take(visit, typed))


def test_names_are_tidied() -> None:
    answered = taken(Name(), node_name="  Kitchen ")
    assert isinstance(answered, Answers)
    assert answered.node_name == "kitchen"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "node_name_missing"),
        ("-kitchen", "node_name_bad"),
        ("kitchen-", "node_name_bad"),
        ("my.kitchen", "node_name_bad"),
        ("küche", "node_name_bad"),
        ("a" * 64, "node_name_bad"),
        ("kitchen\nlocalhost", "node_name_bad"),
    ],
)
def test_bad_node_name_is_a_fault(name: str, fault: str) -> None:
    said = taken(Name(), node_name=name)
    assert isinstance(said, Again)
    assert said.faults == {"node_name": fault}


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("name", "", "owner_name_missing"),
        ("name", "a" * 61, "owner_name_long"),
        ("name", "Ada\u202egnp", "owner_name_bad"),
        ("name", "Ada\x1b[2J", "owner_name_bad"),
        ("password", "", "password_missing"),
        ("password", "seven77", "password_short"),
        ("password", "x" * 201, "password_long"),
        ("password", "eight\x00888", "password_bad"),
    ],
)
def test_bad_owner_is_a_fault_of_its_field(field: str, value: str, fault: str) -> None:
    name = value if field == "name" else "Ada"
    password = value if field == "password" else PASSWORD
    where = "owner_name" if field == "name" else "password"
    assert faults(name, password, password) == {where: fault}


def test_second_password_must_be_there_and_the_same() -> None:
    assert faults("Ada", PASSWORD, "another") == {"password_again": "password_again_differs"}
    assert faults("Ada", PASSWORD, "") == {"password_again": "password_again_missing"}


def test_owners_faults_never_send_a_password_back(tmp_path: Path) -> None:
    nobody = Service("nobody", tmp_path / "none")
    step = Owner(nobody, nobody)
    said = taken(step, owner_name=" Zoe\u0308   of  Hill ", password="short")
    assert isinstance(said, Again)
    assert said.typed == {"owner_name": "Zoë of Hill"}


@pytest.mark.parametrize("zone", ["", "Europe/Atlantis", "../../etc/passwd", "US/Pacific"])
def test_zone_that_is_not_in_the_list_is_refused(zone: str) -> None:
    said = taken(Language(), language="en", time_zone=zone)
    assert isinstance(said, Again)
    assert said.faults == {"time_zone": "time_zone_missing"}


@pytest.mark.parametrize("language", ["", "xx", "../en", "en.yaml"])
def test_language_without_a_file_is_refused(language: str) -> None:
    said = taken(Language(), language=language, time_zone="UTC")
    assert isinstance(said, Again)
    assert said.faults == {"language": "language_missing"}


@pytest.mark.parametrize(
    ("header", "zone"),
    [
        ("de-AT,de;q=0.8", "Europe/Vienna"),
        ("de", "Europe/Berlin"),
        ("en-US,en;q=0.9", "America/New_York"),
        ("en", "Europe/London"),
        ("eo", "UTC"),
        ("", "UTC"),
    ],
)
def test_time_zone_is_guessed_from_what_the_browser_prefers(header: str, zone: str) -> None:
    rows = zones.table()
    assert zones.guess(header, rows) == zone
    assert zone in zones.names(rows)


def test_without_a_table_of_zones_there_is_utc(tmp_path: Path) -> None:
    assert zones.table(tmp_path / "none") == ()
    assert zones.names(()) == ["UTC"]


@pytest.mark.parametrize("typed", ["vutrnlkj", " VUTR nlkj ", "vutrnlkj-"])
def test_last_group_is_known_however_it_is_written(typed: str) -> None:
    assert confirms(typed, KEY)


@pytest.mark.parametrize("typed", ["", "cbdefghi", "vutrnlk", KEY, "vutrnlkj\u0301"])
def test_another_group_does_not_confirm(typed: str) -> None:
    assert not confirms(typed, KEY)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"name=%ff%fe", b"&".join(b"a=1" for _ in range(21))]
)
def test_body_that_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        form.decode(body)
