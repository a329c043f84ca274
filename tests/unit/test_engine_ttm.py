"""How much memory the GPU may map: from 8 GB to far too much."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goni_core.errors import GoniError
from goni_engine import ttm

REFERENCE = Path("image/reference/usr/lib/systemd")


@pytest.mark.parametrize(
    ("memory", "limit"),
    [
        (8, 0),
        (16, 0),
        (31, 0),
        (32, 0),
        (36, 20),
        (62, 44),
        (93, 76),
        (125, 108),
        (128, 112),
        (512, 0),
    ],
)
def test_the_limit_follows_from_the_memory_present(memory: int, limit: int) -> None:
    """In GiB; 512 GiB: the kernel's half is more than we would allow, and is left."""
    assert ttm.limit(memory * ttm.GIB) == limit * ttm.GIB


@given(st.integers(min_value=0, max_value=1 << 44))
def test_the_system_always_keeps_its_share(memory: int) -> None:
    allowed = ttm.limit(memory)
    assert allowed == 0 or memory // 2 < allowed <= memory - ttm.SYSTEM
    assert allowed <= ttm.MOST
    assert allowed % ttm.STEP == 0


def test_pages_are_those_of_the_machine() -> None:
    assert ttm.pages(128 * ttm.GIB, 4096) == 29_360_128, "112 GiB, as measured on the box"
    assert ttm.pages(8 * ttm.GIB, 4096) == 0


def test_memory_is_read_from_the_kernels_table() -> None:
    assert ttm.present("MemTotal:       131072000 kB\nMemFree: 1 kB\n") == 131_072_000 << 10
    for text in ("", "MemTotal: many kB\n", "SwapTotal: 1 kB\n"):
        with pytest.raises(GoniError):
            ttm.present(text)


@pytest.mark.parametrize("gib", [8, 125])
def test_the_command_leaves_an_option_or_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gib: int,
) -> None:
    option = tmp_path / "goni-ttm.conf"
    monkeypatch.setattr(ttm, "OPTION", option)
    monkeypatch.setattr(ttm, "present", lambda _text: gib * ttm.GIB)
    assert ttm.main(["--print"]) == 0
    assert not option.exists()
    assert ttm.main([]) == 0
    if gib == 125:
        assert option.read_text() == "options ttm pages_limit=28311552\n"
        assert "108 GiB" in capsys.readouterr().out
    else:
        assert not option.exists()


def test_the_unit_is_in_the_reference_image_only_and_before_the_drivers() -> None:
    unit = (REFERENCE / "system/goni-ttm.service").read_text()
    assert "Before=systemd-udev-trigger.service" in unit
    assert "ExecStart=/usr/bin/goni-ttm" in unit
    assert not Path("mkosi.extra/usr/lib/systemd/system/goni-ttm.service").exists()
    assert "image/reference:/" in Path("image/mkosi.conf.d/20-reference.conf").read_text()
    presets = sorted(
        ["00-goni.preset", *(path.name for path in (REFERENCE / "system-preset").iterdir())]
    )
    assert presets[-1] == "00-goni.preset", "the first match counts, and that one disables the rest"


def test_the_documented_limits_are_the_computed_ones() -> None:
    text = Path("docs/hardware.md").read_text()
    (found,) = re.findall(r"limit is (\d+) GiB \((\d+) pages\), with 96 GB (\d+) GiB", text)
    assert found == ("108", str(ttm.pages(125 * ttm.GIB, 4096)), "76")
