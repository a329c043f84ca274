"""The screens' text: complete, and nothing on it that shouldn't be."""

from __future__ import annotations

import dataclasses

import pytest
import segno

from goni_firstboot import screen, texts
from goni_firstboot.screen import Size, View

WORDS = texts.load()
EIGHT = "elephant curtain mountain dolphin diamond lobster lantern kitten"
SETUP = View(
    "goni",
    ("192.168.178.123", "2001:db8::5"),
    "012345",
    "AB:CD:EF:01:23:45:67:89",
    EIGHT,
    "step 3 of 7: Network",
)
WAITING = View("goni", (), "012345", "AB:CD")
READY = View("kitchen", ("10.0.2.15",), None, "AB:CD")


def test_setup_page_says_everything_that_is_needed() -> None:
    page = "\n".join(screen.lines(SETUP, WORDS))
    for wanted in (
        "Goni",
        "Name:         goni",
        "https://192.168.178.123/",
        "https://[2001:db8::5]/",
        "https://goni.local/",
        "PIN:          012 345",
        "AB:CD:EF:01:23:45:67:89",
        "elephant curtain mountain dolphin\n",
        "diamond lobster lantern kitten\n",
        "Now:          step 3 of 7: Network",
    ):
        assert wanted in page


def test_without_an_address_it_waits_for_the_network_and_still_shows_the_pin() -> None:
    page = "\n".join(screen.lines(WAITING, WORDS))
    assert "Waiting for the network" in page
    assert "012 345" in page
    assert "https://" not in page


def test_after_setup_there_is_an_address_and_no_pin() -> None:
    page = screen.plain(READY, WORDS)
    assert "https://10.0.2.15/" in page
    assert "https://kitchen.local/" in page
    assert "PIN" not in page
    assert "pin=" not in page


def test_serial_page_is_ascii_and_ends_with_the_line_for_programs() -> None:
    page = screen.plain(SETUP, WORDS)
    assert page.isascii()
    assert "\x1b" not in page
    last = page.splitlines()[-1]
    assert last == "goni-setup: address=https://192.168.178.123/ pin=012345"


@pytest.mark.parametrize("language", texts.languages())
def test_every_line_leaves_room_for_the_code(language: str) -> None:
    assert max(map(len, screen.lines(SETUP, texts.load(language)))) <= 51


def test_german_is_spelt_out_where_there_is_only_ascii() -> None:
    german, view = texts.load("de"), dataclasses.replace(READY, now="Küche größer …")
    small = screen.terminal(view, german, Size(80, 25), unicode=False)
    for page in (screen.plain(view, german), small):
        assert page.isascii()
        assert "Kueche groesser ..." in page


def test_line_for_programs_waits_for_an_address() -> None:
    assert "goni-setup:" not in screen.plain(WAITING, WORDS)


def test_code_is_the_address_in_half_blocks() -> None:
    drawn = screen.code("https://192.168.178.123/")
    cells = {"█": (True, True), "▀": (True, False), "▄": (False, True), " ": (False, False)}
    light = []
    for line in drawn:
        light.append([cells[character][0] for character in line])
        light.append([cells[character][1] for character in line])
    symbol = segno.make("HTTPS://192.168.178.123/", error="l", micro=False)
    expected = [[not dark for dark in row] for row in symbol.matrix_iter(border=2)]
    assert light[: len(expected)] == expected
    assert len(drawn) <= 13  # half of a small terminal's rows


@pytest.mark.parametrize("size", [Size(80, 25), Size(80, 30), Size(128, 48), Size(240, 67)])
def test_code_is_shown_where_it_fits(size: Size) -> None:
    page = screen.terminal(SETUP, WORDS, size, unicode=True)
    assert all(row in page for row in screen.code("https://192.168.178.123/"))


@pytest.mark.parametrize("size", [Size(40, 25), Size(80, 12), Size(20, 5)])
def test_small_terminal_gets_no_broken_code(size: Size) -> None:
    assert "█" not in screen.terminal(SETUP, WORDS, size, unicode=True)


@pytest.mark.parametrize("size", [Size(80, 25), Size(40, 10), Size(128, 48), Size(2, 2)])
def test_page_never_scrolls_or_wraps(size: Size) -> None:
    page = screen.terminal(SETUP, WORDS, size, unicode=True).removeprefix(screen.PREPARE)
    painted = page.split("\r\n")
    assert len(painted) < size.rows
    assert all(len(line) < size.columns for line in painted)


def test_terminal_without_utf8_gets_ascii() -> None:
    assert screen.terminal(SETUP, WORDS, Size(128, 48), unicode=False).isascii()
