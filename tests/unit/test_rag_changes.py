"""When news of the folders are looked at, and the parts of following them that take no disk."""

from __future__ import annotations

import asyncio
import os
import struct

import pytest

from goni_core.errors import BadInput
from goni_rag import changes, folders, inotify
from goni_rag.changes import Changes


def taken(news: list[tuple[float, str, bool]], now: float) -> dict[str, bool]:
    """What is due at ``now`` after ``news``, each with its moment, name and whether it's closed."""

    async def run() -> dict[str, bool]:
        moment = [0.0]
        waiting = Changes(lambda: moment[0])
        for at, name, closed in news:
            moment[0] = at
            waiting.add(("ann", name), closed)
        moment[0] = now
        try:
            async with asyncio.timeout(0.001):
                due = await waiting.take()
        except TimeoutError:
            due = {}
        return {name: closed for (_, name), closed in due.items()}

    return asyncio.run(run())


def test_news_wait_until_it_is_quiet_but_not_for_ever() -> None:
    assert taken([(0.0, "a", True)], 0.1) == {}
    assert taken([(0.0, "a", True)], 0.25) == {"a": True}
    steady = [(number / 10, "a", True) for number in range(11)]
    assert taken(steady, 1.05) == {"a": True}


def test_what_is_still_being_written_waits_longer() -> None:
    assert taken([(0.0, "a", False)], 1.9) == {}
    assert taken([(0.0, "a", False)], 2.1) == {"a": False}
    assert taken([(0.0, "a", False), (0.5, "a", True)], 0.8) == {"a": True}


def test_both_ends_of_a_move_are_looked_at_together() -> None:
    news = [(number / 10, "from", True) for number in range(11)]
    assert taken([*news, (1.0, "to", True)], 1.01) == {"from": True, "to": True}


def test_too_many_news_mean_that_everything_is_looked_at() -> None:
    waiting = Changes()
    for number in range(changes.MOST + 1):
        waiting.add(("ann", str(number)))
    assert waiting.lost
    assert asyncio.run(waiting.take()) == {}


def test_the_kernels_buffer_is_read_event_by_event() -> None:
    padded = b"b\xff.txt".ljust(16, b"\0")
    data = struct.pack("iIII", 3, inotify.CREATE | inotify.IS_FOLDER, 0, 0)
    data += struct.pack("iIII", 4, inotify.CLOSE_WRITE, 0, len(padded)) + padded
    one, two = inotify.parsed(data)
    assert (one.watch, one.is_folder, one.name) == (3, True, "")
    assert (two.watch, two.is_folder, os.fsencode(two.name)) == (4, False, b"b\xff.txt")


@pytest.mark.parametrize(
    "raw", [b"a", b"\xff", b"a\xe9\xff/b\n", "ü\ufffd/ñ".encode(), b"\xef\xbf"]
)
def test_any_name_is_written_as_text_and_back(raw: bytes) -> None:
    text = folders.text_of(os.fsdecode(raw))
    text.encode()
    assert os.fsencode(folders.path_of(text)) == raw


@pytest.mark.parametrize(
    "name",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0b", "x" * 256, "a/" * 41 + "b"],
)
def test_what_leads_out_or_nowhere_is_no_path(name: str) -> None:
    with pytest.raises(BadInput):
        folders.existing(name)


def test_a_new_name_gets_one_unicode_form() -> None:
    assert folders.fresh("Cafe\u0301/me\u0301nu.txt") == "Caf\u00e9/m\u00e9nu.txt"
    assert folders.fresh("._a", dots=True) == "._a"
    for name in (".a", "a/.b", "a ", "\ufffdff"):
        with pytest.raises(BadInput):
            folders.fresh(name)
