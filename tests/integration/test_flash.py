"""goni-flash on real block devices: loop devices, and sticks that lie (see tests/lying_disk.py).

Without root the same runs on a plain file; what only a block device can show is skipped there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from goni_core.errors import DiskFull, GoniError
from goni_core.progress import Monitor
from goni_flash import flash, source, target
from image import flash_wheel
from tests import disk_image, lying_disk
from tests.integration import hub

PATIENCE = 300
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="loop devices need root")
PRESEED = "node_name: kitchen\nowner: Anna\ntime_zone: Europe/Berlin\n"
GARBAGE = b"an older system's bytes " * 4096


@dataclass(frozen=True)
class Release:
    """A signed image and the certificate that it is checked with."""

    image: Path
    key: Path
    certificate: Path


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    image = disk_image.make(folder / "goni_0.1.0_x86-64.raw")
    subprocess.run(["zstd", "-q", "-1", image], check=True, timeout=PATIENCE)
    key, certificate = disk_image.make_key(folder)
    disk_image.sign(image, key)
    return Release(image, key, certificate)


@pytest.fixture
def disk(tmp_path: Path, release: Release) -> Iterator[Path]:
    """A disk that was used before, somewhat larger than the image."""
    backing = tmp_path / "disk"
    with backing.open("wb") as file:
        for at in range(0, release.image.stat().st_size, 4 << 20):
            file.seek(at)
            file.write(GARBAGE)
        file.truncate(release.image.stat().st_size + (3 << 20))
    if not ROOT:
        yield backing
        return
    with lying_disk.loop(backing) as device:
        yield device


def run(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "goni_flash", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **more,
    )


def holds(disk: Path, image: Path) -> bool:
    return (
        subprocess.run(
            ["cmp", f"--bytes={image.stat().st_size}", image, disk], timeout=PATIENCE, check=False
        ).returncode
        == 0
    )


def start_of(disk: Path, count: int) -> bytes:
    with disk.open("rb") as file:
        return file.read(count)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("ending", ["", ".zst"])
def test_an_image_is_written_checked_and_read_back(
    release: Release, disk: Path, ending: str
) -> None:
    image = f"{release.image}{ending}"
    done = run(image, disk, "--key", release.certificate, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert holds(disk, release.image), "holes over old data must read as zeros"
    seen = events(done.stdout)
    phases = [one["phase"] for one in seen if one["event"] == "progress"]
    assert phases.index("write") < phases.index("verify")
    (image_event,) = (one for one in seen if one["event"] == "image")
    assert (image_event["verified"], image_event["signed_by"]) == (True, "Test image")
    assert seen[-1]["event"] == "done"
    assert seen[-1]["verified"] is True


def test_people_see_what_is_lost_who_signed_and_a_bar(release: Release, disk: Path) -> None:
    done = run(release.image, disk, "--key", release.certificate, "--yes")
    assert done.returncode == 0, done.stderr
    for words in ("everything on it will be lost", "signed by Test image", "write  [####", "100 %"):
        assert words in done.stderr
    assert "is ready" in done.stdout


def test_bytes_after_the_image_are_only_touched_at_the_end(release: Release, disk: Path) -> None:
    size = release.image.stat().st_size
    with disk.open("r+b") as file:
        file.seek(size)
        file.write(b"x" * (3 << 20))
    assert run(release.image, disk, "--key", release.certificate, "--yes").returncode == 0
    with disk.open("rb") as file:
        file.seek(size)
        assert file.read(2 << 20) == b"x" * (2 << 20)
        assert file.read() == bytes(1 << 20), "another system's backup table may be there"


def test_nothing_is_written_without_a_yes(release: Release, disk: Path) -> None:
    before = start_of(disk, 1 << 20)
    done = run(release.image, disk, "--key", release.certificate)
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert start_of(disk, 1 << 20) == before


@pytest.mark.parametrize("typed", ["right", "wrong", ""])
def test_a_person_types_the_disks_name_to_erase_it(
    release: Release, disk: Path, typed: str
) -> None:
    """At a terminal: only the name (or serial number) of that very disk is a yes."""
    before = start_of(disk, 4096)
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "goni_flash", release.image, disk, "--key", release.certificate]
    with subprocess.Popen(words, stdin=theirs, stderr=subprocess.PIPE, text=True) as child:
        os.close(theirs)
        answer = disk.name if typed == "right" else typed
        os.write(ours, f"{answer}\n".encode())
        _, said = child.communicate(timeout=PATIENCE)
    os.close(ours)
    assert f"type {disk.name} to erase it" in said
    if typed == "right":
        assert child.returncode == 0, said
        assert holds(disk, release.image)
    else:
        assert child.returncode == 1
        assert "not confirmed; nothing was written" in said
        assert start_of(disk, 4096) == before


def test_without_a_name_and_a_terminal_nothing_is_chosen(release: Release) -> None:
    done = run(release.image, "--key", release.certificate, "--yes")
    assert done.returncode == 1
    assert "no disk was named" in done.stderr


@pytest.mark.parametrize("ending", ["", ".zst"])
def test_a_changed_image_is_refused_before_anything_is_written(
    release: Release, disk: Path, tmp_path: Path, ending: str
) -> None:
    changed = tmp_path / f"{release.image.name}{ending}"
    for name in (changed.name, "SHA256SUMS", "SHA256SUMS.sig"):
        shutil.copyfile(release.image.with_name(name), tmp_path / name)
    with changed.open("r+b") as file:
        file.seek(-100_000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    before = start_of(disk, 1 << 20)
    done = run(changed, disk, "--key", release.certificate, "--yes", "--json")
    assert done.returncode == 1
    assert events(done.stdout)[-1]["code"] in ("bad_checksum", "invalid_request")
    assert start_of(disk, 1 << 20) == before


def test_a_disk_too_small_is_refused(release: Release, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.touch()
    os.truncate(small, release.image.stat().st_size - 512)
    done = run(release.image, small, "--key", release.certificate, "--yes", "--json")
    assert done.returncode == 1
    assert events(done.stdout)[-1]["code"] == "too_small"


def test_a_preseed_lands_on_the_boot_partition(
    release: Release, disk: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "mine.yaml"
    answers.write_text(PRESEED)
    done = run(release.image, disk, "--key", release.certificate, "--yes", "--preseed", answers)
    assert done.returncode == 0, done.stderr
    place = f"{disk}@@{disk_image.ESP_AT}"
    words = ["mtype", "-i", place, "::goni.yaml"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == PRESEED


def test_a_bad_preseed_is_refused_before_anything_is_written(
    release: Release, disk: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "mine.yaml"
    answers.write_text("node_nam: kitchen\n")
    done = run(release.image, disk, "--key", release.certificate, "--yes", "--preseed", answers)
    assert done.returncode == 1
    assert "unknown field 'node_nam'" in done.stderr
    assert not holds(disk, release.image)


def test_an_image_comes_over_a_line_that_breaks(
    release: Release, disk: Path, tmp_path: Path
) -> None:
    with hub.running(None) as server:
        folder = release.image.parent
        for name in ("SHA256SUMS", "SHA256SUMS.sig", f"{release.image.name}.zst"):
            server.serve(f"/r/{name}", (folder / name).read_bytes())
        name = f"{release.image.name}.zst"
        server.files[f"/r/{name}"].cuts = [2 << 20, 1 << 20]
        place = f"{server.address}{hub.STORE}/r/{name}"
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        words = ("--key", release.certificate, "--yes")
        done = run(place, disk, *words, env=environment)
        assert done.returncode == 0, done.stderr
        ranges = [asked[1] for asked in server.asked if asked[0].endswith(".zst")]
        assert any(value.startswith("bytes=") for value in ranges), ranges
    assert holds(disk, release.image)


@as_root
def test_a_mounted_disk_is_refused(release: Release, disk: Path, tmp_path: Path) -> None:
    place = tmp_path / "mnt"
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", disk], check=True, timeout=60)
    subprocess.run(["mount", disk, place], check=True, timeout=60)
    try:
        done = run(release.image, disk, "--key", release.certificate, "--yes", "--json")
        listed = run("--list")
        with pytest.raises(GoniError, match="in use"):
            target.Target(disk)  # the kernel refuses too, should the list ever be wrong
    finally:
        subprocess.run(["umount", place], check=True, timeout=60)
    assert done.returncode == 1
    assert events(done.stdout)[-1]["code"] == "mounted"
    assert f"it is mounted on {place}" in listed.stdout


@as_root
def test_a_write_protected_disk_is_refused(release: Release, disk: Path) -> None:
    subprocess.run(["blockdev", "--setro", disk], check=True, timeout=60)
    try:
        done = run(release.image, disk, "--key", release.certificate, "--yes", "--json")
    finally:  # a loop device stays so for whoever uses it next
        subprocess.run(["blockdev", "--setrw", disk], check=True, timeout=60)
    assert done.returncode == 1
    assert events(done.stdout)[-1]["code"] == "read_only"


@as_root
def test_this_machines_own_disk_is_refused(release: Release) -> None:
    source_of = subprocess.run(
        ["findmnt", "-no", "SOURCE", "/"], capture_output=True, text=True, timeout=60, check=True
    )
    device = source_of.stdout.strip()
    if not device.startswith("/dev/"):
        pytest.skip("the root file system is on no disk")
    words = ("--key", release.certificate, "--yes", "--json", "--serial", "anything")
    done = run(release.image, device, *words)
    assert done.returncode == 1
    assert events(done.stdout)[-1]["code"] in ("system", "invalid_request")


@as_root
@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"flip": 12_000_000}, "disk_lies"),
        ({"wrap": 32 << 20}, "disk_lies"),
        ({"error": 20 << 20}, "disk_failed"),
        ({"full": 20 << 20}, "disk_full"),
        ({"read_error": 40 << 20}, "disk_failed"),
    ],
)
def test_a_bad_stick_is_never_called_ready(
    release: Release, faults: dict[str, int], code: str
) -> None:
    with lying_disk.disk(release.image.stat().st_size, **faults) as stick:
        done = run(release.image, stick, "--key", release.certificate, "--yes", "--json")
    assert done.returncode == 1
    last = events(done.stdout)[-1]
    assert (last["event"], last["code"]) == ("error", code)
    assert last["hint"]


@as_root
def test_a_stick_without_a_command_for_zeros_gets_them_written(release: Release) -> None:
    size = release.image.stat().st_size
    with lying_disk.disk(size) as stick:
        with stick.open("r+b") as file:
            for _ in range(size // len(GARBAGE)):
                file.write(GARBAGE)
        done = run(release.image, stick, "--key", release.certificate, "--yes")
        assert done.returncode == 0, done.stderr
        assert holds(stick, release.image)


@as_root
def test_a_stick_that_failed_half_way_has_no_partition_table(release: Release) -> None:
    with lying_disk.disk(release.image.stat().st_size, error=20 << 20) as stick:
        with stick.open("r+b") as file:
            file.write(start_of(release.image, 4096))
        run(release.image, stick, "--key", release.certificate, "--yes")
        assert start_of(stick, 4096) == bytes(4096)


@as_root
def test_a_full_disk_is_called_one(release: Release, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place]
    subprocess.run(words, check=True, timeout=60)
    try:
        file = place / "disk"
        file.touch()
        os.truncate(file, release.image.stat().st_size)
        image = source.open_image(release.image, Monitor())
        with target.Target(file) as opened, pytest.raises(DiskFull, match="less than it claims"):
            flash.write(image, opened, Monitor())
    finally:
        subprocess.run(["umount", place], check=True, timeout=60)


def test_a_disk_that_changes_afterwards_is_found_out(release: Release, disk: Path) -> None:
    image = source.open_image(release.image, Monitor())
    with target.Target(disk) as opened:
        flash.write(image, opened, Monitor())
        flash.compare(image, opened, Monitor())
        scratch = source.Buffers(1).take()
        opened.write(scratch, disk_image.USR_AT, 512)  # zeros into data
        with pytest.raises(GoniError, match=r"other bytes than were written, 0\.01 GB"):
            flash.compare(image, opened, Monitor())


@as_root
def test_an_interruption_leaves_no_half_system(release: Release) -> None:
    words = [release.image, "--key", release.certificate, "--yes", "--json"]
    with lying_disk.disk(release.image.stat().st_size, slow=30) as stick:
        with subprocess.Popen(
            [sys.executable, "-m", "goni_flash", *map(str, words), stick],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout
            for line in child.stdout:
                if json.loads(line).get("phase") == "write":
                    break
            child.send_signal(signal.SIGINT)
            rest, _ = child.communicate(timeout=PATIENCE)
        assert child.returncode == 130
        assert events(rest)[-1]["code"] == "interrupted"
        assert start_of(stick, 4096) == bytes(4096)


def test_list_is_json_for_programs() -> None:
    done = run("--list", "--json")
    assert done.returncode == 0
    assert all(one["event"] == "disk" and one["refused"] for one in events(done.stdout))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_something_the_shell_takes(shell: str) -> None:
    script = run("--completion", shell).stdout
    for option in ("preseed", "no-verify", "completion"):
        assert option in script
    if shutil.which(shell):
        words = [shell, "-n"] if shell != "fish" else [shell, "--no-execute"]
        subprocess.run(words, input=script, text=True, check=True, timeout=60)


def test_help_has_examples_and_the_preseeds_keys() -> None:
    assert "examples:" in run("--help").stdout
    assert "keep_data" in run("--help-preseed").stdout


def test_the_wheel_is_one_command_that_knows_its_key(
    release: Release, disk: Path, tmp_path: Path
) -> None:
    wheel = flash_wheel.build(release.certificate, tmp_path)
    installed = tmp_path / "installed"
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*words, "--target", installed, wheel], check=True, timeout=PATIENCE)
    done = subprocess.run(
        [installed / "bin/goni-flash", release.image, "--yes", disk],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "signed by Test image" in done.stderr
    assert holds(disk, release.image)
