"""Consoles as devices, with pseudo-terminals as the screens."""

from __future__ import annotations

import logging
import os
import pty
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_firstboot import consoles
from goni_firstboot.consoles import Console, Screens
from goni_firstboot.screen import View

VIEW = View("goni", ("10.0.2.15",), "123456", "AB:CD")


@pytest.fixture
def terminal() -> Iterator[tuple[int, Path]]:
    """A pseudo-terminal: the end that a person sees, and the device that is written to."""
    seen, device = pty.openpty()
    yield seen, Path(os.ttyname(device))
    os.close(seen)
    os.close(device)


def test_front_console_is_tty1_and_every_active_one_counts_once() -> None:
    assert consoles.names("tty0 ttyS0\n") == ("tty1", "ttyS0")
    assert consoles.names("ttyS0 tty1 hvc0") == ("tty1", "ttyS0", "hvc0")
    assert consoles.names("") == ("tty1",)


def test_names_that_are_no_device_names_are_left_out() -> None:
    assert consoles.names("../mem ttyS0 a/b") == ("tty1", "ttyS0")


def test_only_consoles_with_a_device_are_found(tmp_path: Path) -> None:
    (tmp_path / "sys/class/tty/console").mkdir(parents=True)
    (tmp_path / "sys/class/tty/console/active").write_text("tty0 ttyS0 ttyS9\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/tty1").touch()
    (tmp_path / "dev/ttyS0").touch()
    assert consoles.find(tmp_path) == (
        Console(tmp_path / "dev/tty1", virtual=True),
        Console(tmp_path / "dev/ttyS0", virtual=False),
    )


def test_machine_without_consoles_has_none(tmp_path: Path) -> None:
    assert consoles.find(tmp_path) == ()


def test_serial_console_gets_the_page(terminal: tuple[int, Path]) -> None:
    seen, device = terminal
    Screens((Console(device, virtual=False),), None).show(VIEW)
    assert b"goni-setup: address=https://10.0.2.15/ pin=123456" in os.read(seen, 4096)


def test_virtual_console_gets_a_fresh_page_without_the_line_for_programs(
    terminal: tuple[int, Path],
) -> None:
    seen, device = terminal
    Screens((Console(device, virtual=True),), None).show(VIEW)
    page = os.read(seen, 8192)
    assert page.startswith(b"\x1b%G")
    assert b"123 456" in page
    assert b"goni-setup:" not in page


def test_unchanged_page_is_not_written_again_at_once(terminal: tuple[int, Path]) -> None:
    seen, device = terminal
    screens = Screens((Console(device, virtual=False),), None)
    screens.show(VIEW)
    os.read(seen, 8192)
    screens.show(VIEW)
    os.set_blocking(seen, False)
    with pytest.raises(BlockingIOError):
        os.read(seen, 8192)
    screens.show(View("goni", ("10.0.2.16",), "123456", "AB:CD"))
    assert b"10.0.2.16" in os.read(seen, 8192)


def test_console_that_takes_nothing_is_passed_over_in_time(
    terminal: tuple[int, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(consoles, "PATIENCE_S", 0.2)
    _, device = terminal
    handle = os.open(device, os.O_WRONLY | os.O_NOCTTY)
    termios.tcflow(handle, termios.TCOOFF)
    stuck, gone = Console(device, virtual=False), Console(tmp_path / "gone", virtual=False)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        screens = Screens((stuck, gone), None)
        screens.show(VIEW)
        screens.show(View("goni", (), "123456", "AB:CD"))
    assert time.monotonic() - started < 2.0
    termios.tcflow(handle, termios.TCOON)
    os.close(handle)
    # Each is complained about once, and the PIN is not in the log.
    assert len(caplog.records) == 2
    assert "123456" not in caplog.text
    assert "123 456" not in caplog.text


def test_file_is_a_screen_too(tmp_path: Path) -> None:
    screens = Screens((), tmp_path / "screen")
    screens.show(VIEW)
    assert "pin=123456" in (tmp_path / "screen").read_text()
    screens.show(View("goni", ("10.0.2.15",), None, "AB:CD"))
    assert "123456" not in (tmp_path / "screen").read_text()
    assert "123 456" not in (tmp_path / "screen").read_text()
