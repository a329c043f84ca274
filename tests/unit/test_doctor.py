"""goni doctor: what it says of good, failing and silent hardware, and what its bundle keeps out."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goni_client import __main__ as command
from goni_client import bundle, findings, storage, surroundings, trust
from goni_client.findings import State

NVME = {
    "model_name": "Samsung SSD 990 PRO 2TB",
    "serial_number": "S6Z2NJ0W123456",
    "smart_status": {"passed": True},
    "power_on_time": {"hours": 1234},
    "nvme_smart_health_information_log": {
        "critical_warning": 0,
        "available_spare": 100,
        "available_spare_threshold": 10,
        "percentage_used": 3,
        "media_errors": 0,
    },
}


def nvme(**changes: Any) -> bytes:
    log = NVME["nvme_smart_health_information_log"]
    assert isinstance(log, dict)
    return json.dumps({**NVME, "nvme_smart_health_information_log": log | changes}).encode()


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (nvme(), State.GOOD, "3 % used, 1234 hours: healthy"),
        (nvme(critical_warning=1), State.BAD, "reports failures"),
        (nvme(media_errors=2), State.BAD, "reports failures"),
        (nvme(percentage_used=97), State.WARNING, "worn out"),
        (nvme(available_spare=9), State.WARNING, "spare blocks"),
        (json.dumps({"smart_status": {"passed": False}}).encode(), State.BAD, "reports failures"),
        (b"{}", State.UNKNOWN, "does not report"),
        (b"", State.UNKNOWN, "does not report"),
    ],
)
def test_a_disks_own_report_is_put_into_words(answer: bytes, state: State, words: str) -> None:
    found = storage.judged("nvme0n1", answer)
    assert found.state is state
    assert words in found.words
    assert "S6Z2" not in found.words, "serial numbers stay out"
    assert bool(found.advice) == (state in (State.BAD, State.WARNING))


def test_unreadable_sectors_of_a_sata_disk_are_bad() -> None:
    table = [{"id": 197, "raw": {"value": 8}}]
    answer = {"smart_status": {"passed": True}, "ata_smart_attributes": {"table": table}}
    assert storage.judged("sda", json.dumps(answer).encode()).state is State.BAD


def test_a_disk_that_could_not_be_asked_is_unknown() -> None:
    assert storage.judged("vda", nvme(), asked=False).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("free", "state"), [(500, State.GOOD), (90, State.WARNING), (20, State.BAD), (0, State.BAD)]
)
def test_room_runs_out_in_steps(free: int, state: State) -> None:
    assert storage.room(free, 1000).state is state


def efi(folder: Path, **variables: int) -> Path:
    place = folder / "efivars"
    place.mkdir(parents=True)
    for name, value in variables.items():
        (place / f"{name}-{trust.GLOBAL}").write_bytes(bytes([6, 0, 0, 0, value]))
    return folder


@pytest.mark.parametrize(
    ("variables", "state", "words"),
    [
        ({"SecureBoot": 1, "SetupMode": 0}, State.GOOD, "on"),
        ({"SecureBoot": 0, "SetupMode": 1}, State.WARNING, "setup mode"),
        ({"SecureBoot": 0, "SetupMode": 0}, State.WARNING, "off"),
        ({}, State.WARNING, "off"),
    ],
)
def test_secure_boot_is_read_from_the_firmware(
    tmp_path: Path, variables: dict[str, int], state: State, words: str
) -> None:
    (found,) = trust.look_secure_boot(efi(tmp_path / "efi", **variables))
    assert (found.state, words in found.words) == (state, True)


def test_a_legacy_bios_is_bad_and_says_what_to_do(tmp_path: Path) -> None:
    (found,) = trust.look_secure_boot(tmp_path / "none")
    assert found.state is State.BAD
    assert "UEFI" in found.advice


@pytest.mark.parametrize(
    ("version", "bank", "state"),
    [
        ("2", True, State.GOOD),
        ("2", False, State.WARNING),
        ("1", False, State.BAD),
        ("", False, State.BAD),
    ],
)
def test_the_tpm_is_judged_by_version_and_bank(
    tmp_path: Path, version: str, bank: bool, state: State
) -> None:
    place = tmp_path / "tpm0"
    place.mkdir()
    (place / "tpm_version_major").write_text(f"{version}\n")
    if bank:
        (place / "pcr-sha256").mkdir()
    (found,) = trust.look_tpm(tmp_path)
    assert found.state is state


def test_no_tpm_is_bad(tmp_path: Path) -> None:
    (found,) = trust.look_tpm(tmp_path / "none")
    assert found.state is State.BAD


def test_a_clock_before_the_images_date_is_bad() -> None:
    then, now = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    assert trust.clock(then, now, heard=True).state is State.BAD
    assert "time server" in trust.clock(now, then, heard=True).words
    assert "not checked" in trust.clock(now, then, heard=False).words


def test_heat_is_measured_against_the_makers_limit(tmp_path: Path) -> None:
    chip = tmp_path / "hwmon0"
    chip.mkdir()
    (chip / "name").write_text("k10temp\n")
    (chip / "temp1_input").write_text("97500\n")
    (chip / "temp1_crit").write_text("100000\n")
    (found,) = surroundings.look_heat(tmp_path)
    assert found.state is State.WARNING
    assert found.words == "k10temp 98 °C of at most 100"
    (chip / "temp1_input").write_text("41000\n")
    (found,) = surroundings.look_heat(tmp_path)
    assert found.state is State.GOOD


@pytest.mark.parametrize(
    ("state", "speed", "wanted"),
    [
        ("up", "2500", State.GOOD),
        ("up", "100", State.WARNING),
        ("up", "-1", State.GOOD),
        ("up", "", State.GOOD),
        ("down", "-1", State.UNKNOWN),
    ],
)
def test_a_slow_line_is_a_warning(state: str, speed: str, wanted: State) -> None:
    assert surroundings.network("eth0", state, speed).state is wanted


def test_no_line_at_all_is_bad(tmp_path: Path) -> None:
    (tmp_path / "eth0/device").mkdir(parents=True)
    (tmp_path / "eth0/operstate").write_text("down\n")
    assert State.BAD in {found.state for found in surroundings.look_network(tmp_path)}


def test_what_fails_to_be_looked_at_is_a_line_and_not_the_end() -> None:
    def broken() -> list[findings.Finding]:
        raise PermissionError(13, "secret name")

    (found,) = findings.looked("disk", broken)
    assert found.state is State.UNKNOWN
    assert "secret" not in found.words


@pytest.mark.parametrize(
    "secret",
    [
        "goni-Zm9vYmFyYmF6cXV4MTIz",
        "ctrbjvhk-lnftbgvf-dcegfjht-kkllbbcc-ddeeffgg-hhiijjkk-nnrrttuu-vvccbbdd",
        "3f2a" * 16,
        "anna@example.org",
        "de:ad:be:ef:00:01",
        "192.168.178.21",
        "fe80::1c2d:3e4f:5a6b:7c8d",
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_or_an_address_is_struck_out(secret: str) -> None:
    assert secret not in bundle.clean(f"before {secret} after")
    assert bundle.clean("BIOS 1.2 of 2026-01-02, 97 % used") == "BIOS 1.2 of 2026-01-02, 97 % used"


def test_the_bundle_holds_nothing_of_the_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that a person could have typed is planted where the bundle looks."""
    canaries = ("Anna-Canary", "boiler-warranty.pdf", "what did the doctor say", "kitchen-node")
    state = tmp_path / "state"
    (state / "update").mkdir(parents=True)
    checks = [{"name": "engine", "ok": True, "detail": f"loaded {canaries[1]}"}]
    health = {"ok": True, "at": "2026-01-01", "checks": checks, "owner": canaries[0]}
    (state / "update/health.json").write_text(json.dumps(health))
    lines = [
        {"_SYSTEMD_UNIT": "goni-rag.service", "PRIORITY": "6", "MESSAGE": canaries[2]},
        {
            "_SYSTEMD_UNIT": f"mount@{canaries[0]}.service",
            "PRIORITY": "3",
            "_HOSTNAME": canaries[3],
        },
    ]
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = programs / "journalctl"
    text = "\n".join(json.dumps(line) for line in lines)
    fake.write_text(f"#!/bin/sh\ncat <<'EOF'\n{text}\nnot json\nEOF\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    path = bundle.write(tmp_path / "s.tar.gz", [findings.good("disk", "healthy")], state)
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        whole = {one.name: archive.extractfile(one) for one in archive}
        texts = {name: file.read().decode() for name, file in whole.items() if file}
    assert json.loads(texts["goni-support/journal.json"]) == {
        "goni-rag.service/6": 1,
        "mount@.service/3": 1,
    }
    assert json.loads(texts["goni-support/health.json"])["checks"] == [
        {"name": "engine", "ok": True}
    ]
    for canary in canaries:
        assert canary not in "".join(texts.values())


@given(st.binary(max_size=200))
def test_a_strange_journal_is_counted_as_far_as_it_goes(lines: bytes) -> None:
    assert isinstance(bundle.counted(lines), dict)


def test_the_command_tells_programs_and_people(capsys: pytest.CaptureFixture[str]) -> None:
    status = command.main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status == int(any(one["state"] == "bad" for one in found))
    assert {one["area"] for one in found} >= {area for area, _ in command.AREAS}
    assert all(one["words"] for one in found)
    command.main(["doctor"])
    assert len(capsys.readouterr().out.splitlines()) >= len(found)
