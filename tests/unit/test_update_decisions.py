"""What an update decides, from plain values: which release, which slot, when, and what it was."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goni_core.errors import BadInput, Conflict, GoniError
from goni_update import catalog, quiet, slots, state, version, writer
from goni_update.catalog import Catalog, Part, Release
from goni_update.state import Event, State

HASH = "ab" * 32


def release(number: str, **changed: Any) -> Release:
    parts = tuple(
        Part(name, f"stable/minimal/{number}/{name}.zst", 16, HASH) for name in catalog.PARTS
    )
    made = Release(
        version.parse(number), version.parse("0.1.0"), 100, "", "", "2026-11-22", HASH, b"", parts
    )
    return replace(made, **changed)


def offer(*releases: Release) -> Catalog:
    return Catalog("stable", "minimal", releases)


# --- Versions.


def test_versions_are_ordered_as_numbers() -> None:
    words = ["0.1.0", "0.1.0.1", "0.2.0", "0.9.0", "0.10.0", "1.0", "1.0.0"]
    assert [str(one) for one in sorted(map(version.parse, reversed(words)))] == words


@pytest.mark.parametrize(
    "text", ["", "1", "1.2.3.4.5", "01.2", "1.-2", "1.2~rc1", "1..2", "9" * 31]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a version"):
        version.parse(text)


def test_a_system_that_is_not_goni_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("NAME=Debian\nVERSION_ID=12\n")
    with pytest.raises(BadInput):
        version.running(tmp_path / "os-release")


# --- Which release.


def test_the_newest_release_within_reach_is_chosen() -> None:
    listed = offer(
        release("0.4.0", minimum=version.parse("0.3.0")), release("0.3.0"), release("0.2.0")
    )
    chosen = catalog.choose(listed, version.parse("0.1.0"), node="a")
    assert chosen is not None and str(chosen.version) == "0.3.0"
    failed = {version.parse("0.3.0")}
    chosen = catalog.choose(listed, version.parse("0.1.0"), node="a", failed=failed)
    assert chosen is not None and str(chosen.version) == "0.2.0"


def test_nothing_below_or_equal_is_chosen() -> None:
    listed = offer(release("0.2.0"))
    for here in ("0.2.0", "0.3.0"):
        assert catalog.choose(listed, version.parse(here), node="a") is None


def test_a_rollout_reaches_its_share_of_the_nodes_and_the_same_ones_as_it_grows() -> None:
    nodes = [f"node {number}" for number in range(2000)]

    def reached(percent: int) -> set[str]:
        listed = offer(release("0.2.0", rollout=percent))
        here = version.parse("0.1.0")
        return {node for node in nodes if catalog.choose(listed, here, node=node)}

    assert not reached(0)
    assert 120 < len(reached(10)) < 280
    assert reached(10) < reached(40) < reached(100) == set(nodes)


def test_a_catalog_is_read_as_it_was_written() -> None:
    listed = offer(release("0.2.0", superblock=b"x", urgency="now", notes="a\nb"))
    assert catalog.parse(json.dumps(listed.plain()).encode()) == listed


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("version", "../0.2"),
        ("rollout", 101),
        ("rollout", True),
        ("roothash", "00"),
        ("superblock", "zz"),
        ("notes", "x" * 20_001),
        ("parts", []),
        ("parts", [{"name": "efi", "target": "a/b", "bytes": 1, "sha256": HASH}] * 4),
        ("deltas", [{"part": "root", "base": "0.1.0", "target": "a/b"}]),
        ("deltas", [{"part": "usr", "base": "0.1.0", "target": "../../etc/passwd"}]),
        ("deltas", [{"part": "usr", "base": "0.1.0", "target": "/etc/passwd"}]),
        ("extra", 1),
    ],
)
def test_a_signed_catalog_with_nonsense_in_it_is_refused(place: str, value: object) -> None:
    whole: dict[str, Any] = offer(release("0.2.0", superblock=b"x")).plain()
    whole["releases"][0][place] = value
    with pytest.raises(BadInput):
        catalog.parse(json.dumps(whole).encode())


def test_a_part_can_not_be_larger_than_its_partition() -> None:
    whole: dict[str, Any] = offer(release("0.2.0", superblock=b"x")).plain()
    whole["releases"][0]["parts"][0]["bytes"] = (2 << 30) + 1
    with pytest.raises(BadInput, match="bytes"):
        catalog.parse(json.dumps(whole).encode())


def test_a_catalog_of_a_later_format_is_said_to_be_too_new() -> None:
    whole = {**offer().plain(), "format": 2}
    with pytest.raises(BadInput, match="newer Goni"):
        catalog.parse(json.dumps(whole).encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_a_catalog_or_a_clear_error(data: bytes) -> None:
    try:
        catalog.parse(data)
    except BadInput as error:
        assert error.message


# --- Slots.


def found(*names: str, running: str = "0.1.0") -> slots.Slots:
    return slots.read(names, version.parse(running))


def test_try_counters_are_read_from_file_names() -> None:
    read = found(
        "goni_0.1.0_x86-64.efi",
        "goni_0.2.0_x86-64+2-1.efi",
        "goni_0.3.0_x86-64+0-3.efi",
        "goni_0.4.0_x86-64+3.efi",
        "windows.efi",
        "goni_evil_x86-64.efi",
        "goni_0.5.0_x86-64+3.efi.bak",
    )
    states = {str(one.version): (one.state, one.left) for one in read.slots}
    assert states == {
        "0.4.0": ("trial", 3),
        "0.3.0": ("failed", 0),
        "0.2.0": ("trial", 2),
        "0.1.0": ("good", 0),
    }
    assert slots.parse(json.dumps(read.plain()).encode()) == read


def test_a_rollback_leads_to_the_other_slot_unless_it_failed() -> None:
    both = found("goni_0.1.0_x86-64.efi", "goni_0.2.0_x86-64.efi", running="0.2.0")
    assert str(slots.to_go_back_to(both).version) == "0.1.0"
    for names in (
        ["goni_0.2.0_x86-64.efi"],
        ["goni_0.2.0_x86-64.efi", "goni_0.3.0_x86-64+0-3.efi"],
    ):
        with pytest.raises(Conflict, match="no other version"):
            slots.to_go_back_to(found(*names, running="0.2.0"))


# --- What became of it.

WAITING = State(pending="0.2.0", pending_boot="boot 1")


def settled(
    before: State, here: slots.Slots, *, boot: str = "boot 2", health: bytes = b""
) -> State:
    return state.settle(before, here, boot=boot, health=health, at="now")


def test_nothing_is_decided_before_the_restart() -> None:
    assert settled(WAITING, found("goni_0.2.0_x86-64+3.efi"), boot="boot 1") == WAITING


def test_a_version_on_trial_is_waited_for() -> None:
    assert settled(WAITING, found("goni_0.2.0_x86-64+2-1.efi", running="0.2.0")) == WAITING


def test_a_blessed_version_counts_as_installed() -> None:
    after = settled(WAITING, found("goni_0.2.0_x86-64.efi", running="0.2.0"))
    assert (after.pending, after.events) == ("", (Event("now", "installed", "0.2.0"),))


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (b"", "never got as far"),
        (b"\xff", "never got as far"),
        (b'{"version": "0.1.9", "checks": []}', "never got as far"),
        (b'{"version": "0.2.0", "checks": []}', "its health check failed"),
        (
            b'{"version": "0.2.0", "checks": [{"name": "disk", "ok": false, "detail": "full"}]}',
            "disk: full",
        ),
    ],
)
def test_a_fall_back_has_a_reason(health: bytes, words: str) -> None:
    after = settled(WAITING, found("goni_0.2.0_x86-64+0-3.efi"), health=health)
    assert words in after.events[0].words
    assert after.failed == {version.parse("0.2.0")}


def test_a_version_that_is_gone_is_said_to_be() -> None:
    here = found("goni_0.1.0_x86-64.efi")
    assert "no longer on the disk" in settled(WAITING, here).events[0].words


def test_without_a_look_into_the_slots_nothing_is_decided() -> None:
    assert settled(WAITING, found()) == WAITING


def test_a_version_that_works_at_last_is_forgiven() -> None:
    left = State().after(Event("1", "failed", "0.2.0")).after(Event("2", "rolled back", "0.3.0"))
    assert {str(one) for one in left.failed} == {"0.2.0", "0.3.0"}
    assert {str(one) for one in left.after(Event("3", "installed", "0.2.0")).failed} == {"0.3.0"}


def test_state_survives_a_restart_and_a_damaged_one_starts_anew(tmp_path: Path) -> None:
    place = tmp_path / "state.json"
    kept = replace(WAITING, paused=True, trouble="x" * 300).after(Event("now", "written", "0.2.0"))
    state.save(kept, place)
    assert state.load(place) == kept
    for damaged in (b"", b"{}", b"[]", place.read_bytes()[:-9], b" " * ((1 << 20) + 1)):
        place.write_bytes(damaged)
        assert state.load(place) == State()


def test_history_does_not_grow_without_end() -> None:
    kept = State()
    for number in range(state.MOST_EVENTS + 50):
        kept = kept.after(Event("now", "written", f"0.{number}.0"))
    assert len(kept.events) == state.MOST_EVENTS
    assert state.parse(json.dumps(asdict(kept)).encode()) == kept


# --- When.


@pytest.mark.parametrize(
    ("hour", "begin", "end", "quiet_then"),
    [(3, 2, 5, True), (5, 2, 5, False), (1, 2, 5, False), (23, 22, 4, True), (3, 22, 4, True),
     (12, 22, 4, False), (12, 7, 7, True)],
)  # fmt: skip
def test_quiet_hours_may_span_midnight(hour: int, begin: int, end: int, quiet_then: bool) -> None:
    assert quiet.hours(datetime(2026, 11, 22, hour, 30, tzinfo=UTC), begin, end) == quiet_then


# --- What the writer is asked.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"id": "x"}',
        b'{"id": "x", "action": "format"}',
        b'{"id": "x", "action": "write"}',
        b'{"id": "x", "action": "write", "version": "../.."}',
        b'{"id": "x", "action": "write", "version": "0.2.0", "channel": "nightly"}',
        b'{"id": "x", "action": "write", "version": "0.2.0", "root": "/tmp/root.json"}',
    ],
)
def test_the_writer_refuses_odd_requests(data: bytes) -> None:
    with pytest.raises(GoniError):
        writer.request(data)


def test_the_writer_follows_no_link_and_reads_no_device(tmp_path: Path) -> None:
    places = writer.Places(service=tmp_path, run=tmp_path / "run")
    (tmp_path / "request.json").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="symbolic links"):
        writer.work(places)
    (tmp_path / "request.json").unlink()
    (tmp_path / "request.json").write_bytes(b" " * 5000)
    with pytest.raises(BadInput, match="too long"):
        writer.work(places)
