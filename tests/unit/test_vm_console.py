"""The serial log: control sequences gone, this boot's part only, stages and the PIN found."""

from __future__ import annotations

from pathlib import Path

import pytest

from image.console import LONGEST, Console, plain, setup, stage

FIRMWARE = b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: starting Boot0001\r\n"
LINE = "goni-setup: address=https://10.0.2.15/ pin=012345\n"


def test_control_sequences_are_taken_out() -> None:
    assert plain(FIRMWARE) == "BdsDxe: starting Boot0001\n"
    assert plain(b"\x1b]0;title\x07[\x1b[0;32m  OK  \x1b[0m] x\x1bP$q\x1b\\y") == "[  OK  ] xy"


def test_what_is_not_utf8_does_not_stop_the_reading() -> None:
    assert plain(b"a\xffb") == "a�b"


def test_only_what_came_since_the_mark_counts(tmp_path: Path) -> None:
    log = Console(tmp_path / "serial.log")
    assert log.text() == ""
    log.path.write_bytes(b"first boot\n")
    assert log.text() == "first boot\n"
    log.mark()
    assert log.text() == ""
    with log.path.open("ab") as sink:
        sink.write(b"second boot\n")
    assert log.text() == "second boot\n"


def test_the_tail_is_the_last_lines_with_something_in_them(tmp_path: Path) -> None:
    log = Console(tmp_path / "serial.log")
    log.path.write_text("".join(f"line {number}\n\n" for number in range(100)))
    assert log.tail(40).splitlines() == [f"line {number}" for number in range(60, 100)]


def test_an_endless_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = Console(tmp_path / "serial.log")
    with log.path.open("wb") as sink:
        sink.truncate(LONGEST * 3)
        sink.seek(0, 2)
        sink.write(b"the end")
    assert log.text().endswith("the end")


def test_the_wizards_latest_line_is_the_one_that_counts() -> None:
    found = setup(LINE.replace("012345", "999999") + LINE)
    assert found is not None
    assert (found.address, found.pin) == ("https://10.0.2.15/", "012345")


@pytest.mark.parametrize("text", ["", "goni-setup: pin=1", "goni-setup: address=x pin=1234567"])
def test_no_pin_is_made_up(text: str) -> None:
    assert setup(text) is None


def test_stages_come_in_the_order_of_a_boot() -> None:
    said = ""
    seen = [stage(said)]
    for part in (
        plain(FIRMWARE),
        "EFI stub: UEFI Secure Boot is enabled.\n",
        "Welcome to initrd of Debian GNU/Linux 13 (trixie)!\n",
        "         Starting systemd-repart.service - Repartition Root Disk...\n",
        "[  OK  ] Reached target basic.target - Basic System.\n",
        LINE,
    ):
        said += part
        seen.append(stage(said))
    words = ["", "firmware", "boot loader", "kernel", "first-boot disk", "services", "ready"]
    assert seen == words


def test_what_led_to_a_restart_is_told_from_what_came_after(tmp_path: Path) -> None:
    log = Console(tmp_path / "serial.log")
    log.path.write_text("a unit failed\n[ 9.1] reboot: Restarting system\nBdsDxe: again\n")
    assert log.before_restart().startswith("a unit failed\n")
    assert "again" not in log.before_restart()
    log.path.write_text("BdsDxe: first\n")
    assert log.before_restart() == ""
