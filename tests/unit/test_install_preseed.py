"""What becomes of the answers on a stick: taken once, wiped, handed on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goni_core.errors import BadInput
from goni_core.preseed import FILE, parse
from goni_core.progress import Monitor
from goni_install import preseed
from goni_install.preseed import Places

WHOLE = """\
node_name: kitchen
owner: Anna
language: de
time_zone: Europe/Berlin
network:
  address: 192.168.1.20/24
  gateway: 192.168.1.1
  dns: [192.168.1.1]
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(*(tmp_path / name for name in ("esp", "run", "etc")))
    for folder in (made.esp, made.run, made.etc):
        folder.mkdir()
    return made


def said(places: Places) -> dict[str, str]:
    found: dict[str, str] = json.loads((places.run / "preseed.json").read_text())
    return found


def test_without_a_file_nothing_happens(places: Places) -> None:
    assert preseed.work(places, Monitor()) is False
    assert not list(places.run.iterdir())


def test_the_answers_reach_the_setup_page_and_the_system_once(places: Places) -> None:
    (places.esp / FILE).write_text(WHOLE)
    assert preseed.work(places, Monitor()) is False
    assert said(places) == {"node_name": "kitchen", "owner": "Anna", "language": "de"} | {
        "trouble": ""
    }
    network = (places.etc / "systemd/network/70-goni-preseed.network").read_text()
    assert "Address=192.168.1.20/24\n" in network and "DNS=192.168.1.1\n" in network
    assert str((places.etc / "localtime").readlink()).endswith("Europe/Berlin")
    assert not (places.esp / FILE).exists()


def test_the_file_is_overwritten_before_it_is_removed(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = places.esp / FILE
    path.write_text(WHOLE)
    kept = places.esp / "the same blocks"
    kept.hardlink_to(path)
    preseed.take(places.esp)
    assert kept.read_bytes() == bytes(len(WHOLE))


@pytest.mark.parametrize("text", ["password: secret\n", "network: {}\n", "\x00", "a: [", "- 1\n"])
def test_a_bad_file_is_told_and_removed_and_stops_nothing(places: Places, text: str) -> None:
    (places.esp / FILE).write_text(text)
    assert preseed.work(places, Monitor()) is False
    assert said(places)["trouble"] and not (places.esp / FILE).exists()
    assert "secret" not in said(places)["trouble"]


def test_an_installation_that_can_not_be_done_is_told(places: Places) -> None:
    (places.esp / FILE).write_text(WHOLE + "install:\n  disk: S6Z2\n")
    assert preseed.work(places, Monitor()) is False
    assert said(places)["trouble"] and said(places)["node_name"] == "kitchen"


def test_the_next_disk_gets_the_rest_of_the_answers(places: Places) -> None:
    found = parse((WHOLE + "install:\n  disk: S6Z2\n").encode())
    preseed.leave(found, places.esp)
    assert parse((places.esp / FILE).read_bytes()) == parse(WHOLE.encode())


def test_nothing_is_left_of_an_answer_that_was_only_the_disk(places: Places) -> None:
    preseed.leave(parse(b"install:\n  disk: S6Z2\n"), places.esp)
    assert not (places.esp / FILE).exists()


def test_a_file_larger_than_the_limit_is_not_read_whole(places: Places) -> None:
    (places.esp / FILE).write_text("#" * 20_000)
    with pytest.raises(BadInput):
        preseed.take(places.esp)
