"""The image that ships becomes the next version, and comes back when that one is sick.

The next version is the same tree built under another number (``GONI_VERSION``). Its release reaches
the machine as a folder, since nothing of this computer is reachable from inside; a web server
inside the machine stands for the one outside. Whole parts aren't carried in: the delta must do.
"""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goni_core.run import stream
from goni_update import version
from image import build
from image.guest import MachineError
from image.machine import Machine
from image.release import bundle, home
from image.release.bundle import Wanted
from tests.vm.household import PATIENCE

PROFILE = os.environ.get("GONI_PROFILE", "minimal")
OLD = build.version()
NEW = f"{OLD}.1"
RELEASE = "/var/lib/test-release"
KEPT = "/var/lib/goni/firstboot/update-test"
SICK = "/etc/systemd/system/goni-health.service.d/50-test.conf"
UKI = f"/boot/EFI/Linux/goni_{NEW}_x86-64"


@pytest.fixture(scope="module")
def release(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the image under test and the next version, with a delta between them."""
    following = build.OUT / build.output_name(PROFILE, NEW)
    raw = following.with_name(f"{following.name}.raw")
    if not raw.exists() or raw.stat().st_mtime < image.stat().st_mtime:
        words = [".venv/bin/python", "-m", "image.build", "--profile", PROFILE]
        stream(words, timeout=7200, env={"GONI_VERSION": NEW})
    folder = tmp_path_factory.mktemp("release")
    for number in (OLD, NEW):
        work = folder / f"work-{number}"
        work.mkdir()
        repository = home.open_repository(folder / "repository", [])
        where = version.parse(number)
        made = bundle.build(
            bundle.image_at(build.OUT / build.output_name(PROFILE, number), where),
            Wanted(where, version.parse("0.0.1")),
            f"stable/{PROFILE}/{number}",
            work,
            level=1,
        )
        made = bundle.with_deltas(repository, "stable", PROFILE, made, work, last=1)
        bundle.publish(repository, "stable", PROFILE, made, work, datetime.now(UTC))
    return folder / "repository"


@pytest.fixture(scope="module")
def machine(machines: Callable[..., Machine], release: Path, tmp_path_factory: Any) -> Machine:
    """A machine on the old version, with the release in a folder, and no full copy of the old."""
    made: Machine = machines("node", memory=3072)
    made.wait_for_unit("boot-complete.target", timeout=PATIENCE)
    archive = tmp_path_factory.mktemp("carry") / "release.tar"
    with tarfile.open(archive, "w") as sink:
        for path in sorted(release.rglob("*")):
            if path.is_file() and not path.name.endswith(("x86-64.usr.raw.zst", "x86-64.efi.zst")):
                sink.add(path, str(path.relative_to(release)))
    made.push(archive, "/var/lib/test-release.tar")
    made.succeed(
        f"mkdir -p {RELEASE} && tar -C {RELEASE} -xf {RELEASE}.tar && rm {RELEASE}.tar"
        f" && chmod -R a+rX {RELEASE} && echo kept > {KEPT} && sync",
        timeout=PATIENCE,
    )
    made.wait_for_unit("goni-update.service", timeout=PATIENCE)
    return made


def status(machine: Machine) -> dict[str, Any]:
    machine.wait_for_unit("goni-update.service", timeout=PATIENCE)
    found: dict[str, Any] = json.loads(machine.succeed("goni-update status --json"))
    return found


def settle(machine: Machine, number: str, *, timeout: float = 4 * PATIENCE) -> None:
    """Wait over however many restarts until ``number`` runs and all of it is up. Not for
    boot-complete.target, which is there only while boots are counted: a version's first ones.
    """
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        before = machine.agent.boot_id
        try:
            said = machine.succeed(". /usr/lib/os-release; echo $VERSION_ID").strip()
            if said == number:
                machine.wait_for_unit("multi-user.target", timeout=PATIENCE)
                machine.wait_for_unit("goni-update.service", timeout=PATIENCE)
                return
            machine.wait_for_boot(PATIENCE, after=before)
        except MachineError:
            machine.check_alive()
    raise AssertionError(f"{number} never ran")


def applied(machine: Machine, *words: str) -> None:
    """``goni-update apply --now``: the machine may restart before the command could say so."""
    before = machine.agent.boot_id
    try:
        machine.succeed(["goni-update", "apply", "--now", *words], timeout=2 * PATIENCE)
        machine.wait_for_boot(PATIENCE, after=before)
    except MachineError:
        machine.check_alive()
        if machine.agent.boot_id == before:
            raise


def whole(machine: Machine) -> None:
    """What a person brought is there, the disk was unlocked by the TPM, nothing has failed."""
    assert machine.succeed(["cat", KEPT]) == "kept\n"
    log = machine.succeed("journalctl -b -u systemd-cryptsetup@root.service --no-pager")
    assert "please enter" not in log.lower()
    assert machine.failed_units() == []


# --- A version that is sick.


@pytest.mark.full
def test_a_version_that_fails_its_health_check_is_left_and_named(machine: Machine) -> None:
    text = (
        f"[Service]\\nExecStartPre=/bin/sh -c '! grep -q VERSION_ID=.*{NEW} /usr/lib/os-release'\\n"
    )
    machine.succeed(f'mkdir -p $(dirname {SICK}) && printf "{text}" > {SICK} && sync')
    applied(machine, "--from", RELEASE)
    settle(machine, OLD)
    found = status(machine)
    assert found["failed"] == [NEW]
    assert [one["state"] for one in found["slots"]] == ["failed", "good"]
    assert "never got as far" in found["last"][0]["words"]
    assert (
        json.loads(machine.succeed(f"goni-update check --from {RELEASE} --json"))["offered"] == ""
    )
    machine.succeed(f"rm {SICK} && sync")
    whole(machine)


# --- The happy path, by delta, from a stick.


def test_the_next_version_comes_by_delta_and_proves_itself(machine: Machine) -> None:
    usr = machine.succeed("sha256sum /dev/disk/by-partlabel/goni_" + OLD, timeout=PATIENCE)
    applied(machine, "--from", RELEASE, "--version", NEW)
    settle(machine, NEW)
    machine.wait_until_succeeds(f"test -e {UKI}.efi", timeout=PATIENCE)
    found = status(machine)
    assert (found["version"], found["pending"]) == (NEW, "")
    assert found["last"][0]["what"] == "installed"
    fetched = machine.succeed("ls /var/lib/goni/update/mirror/targets/*/*/*")
    assert "usr.delta" in fetched and "usr.raw.zst" not in fetched
    assert machine.succeed("sha256sum /dev/disk/by-partlabel/goni_" + OLD, timeout=PATIENCE) == usr
    whole(machine)


def test_a_cold_start_comes_up_in_the_new_version_too(machine: Machine) -> None:
    assert machine.shut_down()
    machine.power_on()
    settle(machine, NEW)
    whole(machine)


@pytest.mark.full
def test_rollback_leads_to_the_old_version_with_all_data(machine: Machine) -> None:
    before = machine.agent.boot_id
    try:
        machine.succeed("goni-update rollback --now", timeout=PATIENCE)
        machine.wait_for_boot(PATIENCE, after=before)
    except MachineError:
        machine.check_alive()
    settle(machine, OLD)
    assert status(machine)["last"][0]["what"] == "rolled back"
    whole(machine)


# --- Whole, by a server, with the cord pulled on the way.


@pytest.mark.full
@pytest.mark.parametrize("stage", ["fetch", "unpack", "check", "write", "trial"])
@pytest.mark.parametrize("delay", [0.0, 0.7, 3.0, 9.0])
def test_a_power_cut_during_an_update_loses_nothing(
    machine: Machine, stage: str, delay: float
) -> None:
    running = status(machine)["version"]
    wanted = NEW if running == OLD else ""
    if wanted:
        serve = f"cd {RELEASE} && exec python3 -m http.server --bind 127.0.0.1 8000"
        machine.succeed(["systemd-run", "--unit=test-server", "--collect", "sh", "-c", serve])
        machine.succeed("mkdir -p /run/systemd/system/goni-update.service.d")
        machine.succeed(
            "printf '[Service]\\nEnvironment=GONI_UPDATES=http://127.0.0.1:8000\\n' >"
            " /run/systemd/system/goni-update.service.d/50-test.conf"
            " && systemctl daemon-reload && systemctl restart goni-update.service"
        )
        now = "--now" if stage == "trial" else ""
        machine.succeed(
            f"systemd-run --unit=test-apply --collect goni-update apply {now} --version {wanted}"
        )
        reached(machine, stage)
    time.sleep(delay)
    machine.power_cut()
    machine.power_on()
    machine.wait_for_unit("multi-user.target", timeout=2 * PATIENCE)
    found = status(machine)
    assert found["version"] in (OLD, NEW)
    whole(machine)
    if found["version"] == NEW:
        machine.succeed("goni-update rollback --now || true", timeout=PATIENCE)
        settle(machine, OLD)


def reached(machine: Machine, stage: str) -> None:
    """Wait until the running update is at ``stage``; ``trial`` is the new version's first boot."""
    end = time.monotonic() + 2 * PATIENCE
    before = machine.agent.boot_id
    while time.monotonic() < end:
        try:
            progress = status(machine)["progress"]
        except MachineError:
            machine.check_alive()
            return
        if machine.agent.boot_id != before or progress["stage"] == stage:
            return
        if not progress["running"] and progress["stage"] in ("done", "") and stage != "trial":
            return
        time.sleep(0.3)
