"""The health check's judgements, each from plain values."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from goni_core.contract import Check
from goni_core.errors import GoniError, Unavailable
from goni_update import health
from goni_update.health import Report

IMAGE = datetime(2026, 11, 1, tzinfo=UTC)


def test_service_that_is_well_says_so_in_its_own_words() -> None:
    assert health.service_words({"service": "engine", "ok": True, "words": "on the CPU"}) == (
        "on the CPU"
    )
    assert health.service_words({"ok": True}) == "well"


def test_service_that_is_not_well_names_what_failed() -> None:
    answer = {
        "ok": False,
        "words": "not ready",
        "checks": [
            {"name": "database", "ok": True, "detail": ""},
            {"name": "model", "ok": False, "detail": "missing"},
        ],
    }
    with pytest.raises(Unavailable, match=r"not ready; model \(missing\)") as raised:
        health.service_words(answer)
    assert "database" not in raised.value.message


@pytest.mark.parametrize("answer", [{}, {"ok": "yes"}, {"ok": False, "checks": 3}])
def test_malformed_health_is_an_error_not_a_pass(answer: dict[str, object]) -> None:
    with pytest.raises(GoniError):
        health.service_words(answer)


def test_failed_units_are_read_from_systemctls_json() -> None:
    listing = json.dumps(
        [
            {"unit": "goni-rag.service", "load": "loaded", "active": "failed", "sub": "failed"},
            {"unit": "var.mount", "load": "loaded", "active": "failed", "sub": "failed"},
        ]
    ).encode()
    assert health.failed_units(listing) == ("goni-rag.service", "var.mount")
    assert health.failed_units(b"[]\n") == ()


@pytest.mark.parametrize("listing", [b"", b"0 units", b"{}", b"[1]", b'[{"unit": 5}]'])
def test_anything_else_from_systemctl_is_an_error_not_a_pass(listing: bytes) -> None:
    with pytest.raises(GoniError):
        health.failed_units(listing)


def fake_systemctl(folder: Path, script: str) -> None:
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "ok", "words"),
    [
        ('[ "$*" = "--failed --output=json" ] && echo "[]"', True, "none"),
        ("""echo '[{"unit": "goni-rag.service"}]'""", False, "goni-rag.service"),
        ("echo no bus >&2; exit 1", False, "no bus"),
    ],
)
def test_units_check_asks_systemctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, ok: bool, words: str
) -> None:
    fake_systemctl(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    check = health.check_units()
    assert check.ok is ok
    assert words in check.detail


def test_disk_fails_only_when_nothing_could_be_written() -> None:
    assert health.disk(10 << 30).ok
    assert health.disk(200 << 20).ok  # full of documents: not this version's fault
    full = health.disk(1 << 20)
    assert not full.ok
    assert "only 1 MiB free" in full.detail


def test_clock_before_the_image_is_wrong() -> None:
    assert health.clock(datetime(2026, 11, 22, tzinfo=UTC), IMAGE).ok
    early = health.clock(datetime(1970, 1, 1, tzinfo=UTC), IMAGE)
    assert not early.ok
    assert "1970-01-01" in early.detail
    assert "2026-11-01" in early.detail


def test_report_is_well_only_when_every_check_is() -> None:
    good, bad = Check("a", True, "fine"), Check("b", False, "broken")
    assert Report("now", (good,)).ok
    assert not Report("now", (good, bad)).ok
    assert Report("now", (good, bad)).lines() == "ok      a: fine\nFAILED  b: broken"


def test_check_is_tried_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PAUSE", 0.01)
    tries = 0

    async def third_time_lucky(timeout: float) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("starting")
        return "well"

    check = asyncio.run(health.until_well("x", third_time_lucky, time.monotonic() + 5))
    assert check == Check("x", True, "well")


def test_check_that_never_succeeds_ends_with_the_last_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "PAUSE", 0.01)

    async def never(timeout: float) -> str:
        raise Unavailable("no model")

    check = asyncio.run(health.until_well("x", never, time.monotonic() + 0.05))
    assert check == Check("x", False, "no model")


def test_probe_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TRY_S", 0.05)

    async def hanging(timeout: float) -> str:
        await asyncio.sleep(60)
        return "never"

    check = asyncio.run(health.until_well("x", hanging, time.monotonic()))
    assert not check.ok
    assert "no answer within" in check.detail


def test_result_is_kept_for_the_page(tmp_path: Path) -> None:
    report = Report("2026-11-22T10:00:00+00:00", (Check("disk", False, "full"),), "0.2.0")
    health.keep(report, tmp_path / "update")
    kept = json.loads((tmp_path / "update/health.json").read_text())
    assert kept == {
        "ok": False,
        "at": "2026-11-22T10:00:00+00:00",
        "version": "0.2.0",
        "checks": [{"name": "disk", "ok": False, "detail": "full"}],
    }


def test_a_failure_outlives_the_version_that_is_fallen_back_to(tmp_path: Path) -> None:
    failed = Report("2026-11-22T10:00:00+00:00", (Check("engine", False, "wrong"),), "0.2.0")
    good = Report("2026-11-22T10:09:00+00:00", (Check("engine", True, ""),), "0.1.0")
    health.keep(failed, tmp_path)
    health.keep(good, tmp_path)
    assert json.loads((tmp_path / "health.json").read_text())["version"] == "0.1.0"
    assert json.loads((tmp_path / "health-failed.json").read_text())["version"] == "0.2.0"


def test_result_that_can_not_be_kept_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "update").touch()
    with pytest.raises(GoniError, match="can't be kept"):
        health.keep(Report("now", ()), tmp_path / "update")
