"""Sticks that are pulled out, and names that are hard to read; what is hostile on them is tested
against the running engine.
"""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from goni_core.errors import NotFound
from goni_engine import stick
from goni_engine.incoming import Arrivals
from goni_engine.sticks import BLOCK, Sticks
from goni_engine.store import Entry, Store
from tests.models import write_tiny_chat_model


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("sda1:HOLIDAY", "HOLIDAY"),
        (r"sda1:My\x20Stick", "My Stick"),
        (r"sda1:B\xc3\xbccher", "B\u00fccher"),
        (r"sda1:\xff\xfe", "\ufffd\ufffd"),
        (r"sdb:\x0a\x1b[31m", "[31m"),
        ("sdb1:", "sdb1"),
        ("sdb1", "sdb1"),
        (r"sda1:..\x2f..\x2fetc", "../../etc"),
    ],
)
def test_a_label_is_shown_as_its_owner_wrote_it(folder: str, label: str) -> None:
    assert stick.label_of(folder) == label


class Node:
    """A store, and sticks below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "models", folder / "none")
        self.store.open()
        self.arrivals = Arrivals(folder / "incoming", self.store)
        self.arrivals.open()
        self.came: list[str] = []
        self.sticks = Sticks(folder / "sticks", self.arrivals, self._came)

    async def _came(self, entry: Entry) -> None:
        self.came.append(entry.id)

    async def ended(self) -> None:
        running = [one.task for one in self.sticks._imports.values() if one.task]
        await asyncio.wait_for(asyncio.gather(*running), 60)


def test_a_stick_pulled_out_half_way_says_so_and_the_file_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real stick gives EIO from then on, or, torn out of a cache, less than it promised."""
    node = Node(tmp_path)
    content = write_tiny_chat_model(tmp_path / "m.gguf", seed=2).read_bytes()
    content += bytes(3 * BLOCK)
    (tmp_path / "sticks/sda1:ONE").mkdir(parents=True)
    (tmp_path / "sticks/sda1:ONE/m.gguf").write_bytes(content)
    real = os.pread
    reads: list[int] = []

    def torn(handle: int, size: int, offset: int) -> bytes:
        if offset == 2 * BLOCK:
            raise OSError(errno.EIO, "Input/output error")
        return real(handle, size, offset)

    async def pulled() -> None:
        monkeypatch.setattr(os, "pread", torn)
        begun = await node.sticks.begin("sda1:ONE", "m.gguf")
        await node.ended()
        (one,) = node.sticks.imports()
        assert (one.state, one.offset) == ("failed", 2 * BLOCK)
        assert "pulled out" in one.reason
        assert node.arrivals.get(begun.id).offset == 2 * BLOCK
        # The same again, with a file that has become shorter than it says it is.
        monkeypatch.setattr(os, "pread", lambda *all: real(*all) if all[2] != 2 * BLOCK else b"")
        await node.sticks.begin("sda1:ONE", "m.gguf")
        await node.ended()
        assert [one.state for one in node.sticks.imports()] == ["failed"]

    def noted(handle: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        return real(handle, size, offset)

    async def plugged_in_again() -> None:
        monkeypatch.setattr(os, "pread", noted)
        begun = await node.sticks.begin("sda1:ONE", "m.gguf")
        assert begun.offset == 2 * BLOCK
        await node.ended()
        assert BLOCK not in reads
        assert [one.state for one in node.sticks.imports()] == ["done"]

    asyncio.run(pulled())
    asyncio.run(plugged_in_again())
    assert node.came == ["m"]
    assert (tmp_path / "models/m.gguf").read_bytes() == content
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_file_is_reached_name_by_name(tmp_path: Path) -> None:
    (tmp_path / "sticks/sda1/a").mkdir(parents=True)
    (tmp_path / "sticks/sda1/a/m.gguf").write_bytes(b"GGUF")
    (tmp_path / "secret.gguf").write_bytes(b"GGUF")
    handle = stick.opened(tmp_path / "sticks", "sda1", "a/m.gguf")
    os.close(handle)
    for where, path in (
        ("sda1", "../../secret.gguf"),
        ("..", "secret.gguf"),
        (".", "sda1/a/m.gguf"),
        ("sda1", "a//m.gguf"),
        ("sda1", "/a/m.gguf"),
        ("sda1", "a"),
        ("sda1", "a/m.gguf\0"),
        ("sda1", "a/a/a/a/a/m.gguf"),
        ("sdb1", "a/m.gguf"),
        ("", "secret.gguf"),
        ("..", "secret.gguf"),
        ("../sticks", "sda1/a/m.gguf"),
        ("sda1", "\udc80.gguf"),
        ("sda1", "x" * 900),
    ):
        with pytest.raises(NotFound):
            stick.opened(tmp_path / "sticks", where, path)
