"""``python -m image.vm``: its options, its one lock, and what it tells the person."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from goni_core.errors import Conflict, GoniError, NotFound
from image import build, vm
from image.console import Setup
from image.machine import Machine, check_port, clear, free_port, hold

ROOT = Path(vm.__file__).parent.parent


def vm_command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "image.vm", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/services"},
    )


def test_help_shows_examples() -> None:
    said = vm_command("run", "--help")
    assert said.returncode == 0
    assert "examples:" in said.stdout
    assert "--fresh" in said.stdout


def test_a_missing_image_names_the_command_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "image_path", lambda _profile: tmp_path / "none.raw")
    with pytest.raises(NotFound, match="make image PROFILE=minimal"):
        vm.image_of("minimal")


def test_an_image_that_is_not_there_is_one_line_and_status_1(tmp_path: Path) -> None:
    said = vm_command("run", str(tmp_path / "none.raw"), "--port", str(free_port()))
    assert said.returncode == 1
    assert said.stderr.startswith("error: ")
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("words", [("--port", "0"), ("--port", "x"), ("--memory", "100")])
def test_unusable_options_are_refused(words: tuple[str, str]) -> None:
    said = vm_command("run", *words)
    assert said.returncode == 2
    assert words[0] in said.stderr


def test_a_taken_port_is_refused_with_a_hint() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(GoniError, match="--port"):
            check_port(other.getsockname()[1])


def test_two_machines_never_share_a_disk(tmp_path: Path) -> None:
    with hold(tmp_path):
        with pytest.raises(Conflict, match="running already"):
            hold(tmp_path)
        clear(tmp_path)
        with pytest.raises(Conflict):
            hold(tmp_path)
    hold(tmp_path).close()


def test_a_new_machine_starts_with_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "tpm").mkdir()
    (tmp_path / "tpm/state").write_text("old")
    (tmp_path / "disk.raw").write_text("old")
    with hold(tmp_path):
        clear(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_rebuilt_image_is_told_from_the_one_before(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"one")
    first = vm.identity(image)
    assert vm.identity(image) == first
    os.utime(image, ns=(1, 1))
    assert vm.identity(image) != first


def test_the_person_is_told_the_address_and_the_pin() -> None:
    line = vm.page_line(8443, Setup("https://10.0.2.15/", "123456"))
    assert line == "Setup page: https://127.0.0.1:8443/  PIN: 123456"
    assert "PIN" not in vm.page_line(8443, None)


def test_a_machine_without_an_image_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Machine("node", tmp_path / "none.raw", folder=tmp_path / "vm")
    assert not (tmp_path / "vm").exists()
