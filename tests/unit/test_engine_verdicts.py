"""What is kept of the models' self-tests, and for how long it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from goni_engine import store
from goni_engine.device import Device, Devices
from goni_engine.store import Entry
from goni_engine.verdicts import Verdicts, build_of
from tests.models import write_tiny_chat_model
from tests.projector import write_tiny_projector


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return store.inspect(write_tiny_chat_model(tmp_path / "tiny.gguf"))


def opened(path: Path, build: str = "one") -> Verdicts:
    verdicts = Verdicts(path, build)
    verdicts.open()
    return verdicts


def test_a_verdict_outlives_a_restart(tmp_path: Path, entry: Entry) -> None:
    path = tmp_path / "kept.json"
    assert opened(path).of(entry) == (None, False)
    opened(path).note(entry, True, "fine")
    found, holds = opened(path).of(entry)
    assert found is not None and holds
    assert (found.ok, found.detail, found.known) == (True, "fine", False)
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_build_or_another_file_ends_a_verdict(tmp_path: Path, entry: Entry) -> None:
    path = tmp_path / "kept.json"
    opened(path).note(entry, True, "fine")
    assert not opened(path, "two").of(entry)[1]
    write_tiny_projector(tmp_path / "tiny.mmproj.gguf")
    assert not opened(path).of(store.inspect(entry.path))[1]
    assert opened(path).of(entry)[1]
    write_tiny_chat_model(entry.path, seed=1)
    assert not opened(path).of(entry)[1]


def test_a_failure_that_was_there_before_is_known(tmp_path: Path, entry: Entry) -> None:
    path = tmp_path / "kept.json"
    for build, ok, known in (
        ("one", True, False),
        ("two", False, False),
        ("two", False, False),
        ("three", False, True),
        ("three", False, True),
        ("four", True, False),
        ("five", False, False),
    ):
        verdicts = opened(path, build)
        verdicts.note(entry, ok, "")
        found, holds = opened(path, build).of(entry)
        assert found is not None and holds
        assert (found.ok, found.known) == (ok, known)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"tiny": 5}', b'{"tiny": {"ground": 1}}', b"\xff", b'{"tiny": {}}'],
)
def test_an_unreadable_file_is_as_none(tmp_path: Path, entry: Entry, content: bytes) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(content)
    verdicts = opened(path)
    assert verdicts.of(entry) == (None, False)
    verdicts.note(entry, True, "fine")
    assert opened(path).of(entry)[1]
    verdicts.forget("tiny")
    verdicts.forget("tiny")
    assert opened(path).of(entry) == (None, False)


def test_the_build_names_the_engine_and_the_devices(tmp_path: Path) -> None:
    without = build_of(tmp_path, Devices((), 2))
    (tmp_path / "key").write_text("abc\n")
    with_key = build_of(tmp_path, Devices((), 2))
    card = build_of(tmp_path, Devices((Device("Vulkan0", "Radeon (RADV)", 9, 5),), 2))
    assert len({without, with_key, card}) == 3
    assert build_of(tmp_path, Devices((Device("Vulkan0", "Radeon (RADV)", 8, 1),), 4)) == card
