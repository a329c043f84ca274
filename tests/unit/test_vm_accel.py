"""The KVM probe believes only a guest that speaks; here real processes stand for the guest."""

from __future__ import annotations

import time
from pathlib import Path

from image import accel, firmware


def test_a_guest_that_speaks_counts(tmp_path: Path) -> None:
    serial = tmp_path / "serial"
    words = ["sh", "-c", 'echo BdsDxe > "$0"; exec sleep 60', str(serial)]
    assert accel.speaks(words, serial, patience=10)


def test_a_guest_that_dies_does_not_count(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert not accel.speaks(["sh", "-c", "exit 1"], tmp_path / "serial", patience=30)
    assert time.monotonic() - begun < 10


def test_a_guest_that_stays_silent_does_not_count_and_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    words = ["sh", "-c", 'echo $$ > "$0"; exec sleep 60', str(mark)]
    assert not accel.speaks(words, tmp_path / "serial", patience=0.5)
    assert not Path("/proc", mark.read_text().strip()).exists()


def test_the_probe_runs_the_machines_own_firmware(tmp_path: Path) -> None:
    words = accel.probe_argv(accel.KVM, tmp_path / "vars.fd", tmp_path / "serial")
    assert "kvm" in words
    assert set(firmware.words(tmp_path / "vars.fd")) <= set(words)
