"""Keeping the index up to date where only a test inside the process can stand: a full disk, lost
events, a file that changes under the reader's eyes, more files than anybody has.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from goni_core.http import Service
from goni_rag import extract, files_api, inotify, ledger, reconcile, store, upkeep, watch, words
from goni_rag.embed import Embedder
from goni_rag.library import Library

FILES = 4000
PATIENCE = 60


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """A library whose engine is down."""
    loop_free = Embedder(Service("the engine", tmp_path / "nothing.sock"))

    async def made() -> Library:
        return Library(tmp_path, loop_free)

    library = asyncio.run(made())
    yield library
    library.close()


def run(library: Library, scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await scene()
        finally:
            await library.embedder._engine.close()

    asyncio.run(limited())


async def states(library: Library) -> dict[str, str]:
    found = await library.connections.read(store.documents, "ann")
    return {document.name: document.state for document in found}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    while not await true():  # noqa: ASYNC110 - a database tells nobody
        await asyncio.sleep(0.05)


def folder(library: Library) -> Path:
    path = library.root / "ann"
    path.mkdir()
    return path


def old(path: Path, text: str) -> None:
    """A file that nobody is writing any more."""
    path.write_text(text)
    os.utime(path, (1_700_000_000, 1_700_000_000))


def test_a_full_check_finds_what_no_event_told(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.Watch, "_handle", lambda self, event: None)
    base = folder(library)

    async def scene() -> None:
        async with upkeep.running(library, check_seconds=0.3):
            await asyncio.sleep(0.5)
            old(base / "a.txt", "The stork is back.")

            async def read() -> bool:
                return await states(library) == {"a.txt": "indexed"}

            await until(read)
            (base / "a.txt").unlink()

            async def gone() -> bool:
                return await states(library) == {}

            await until(gone)

    run(library, scene)


def test_folders_that_cannot_be_watched_are_checked_and_it_is_said(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(self: inotify.Inotify, folder: Path) -> int:
        raise OSError(errno.ENOSPC, "no watches left")

    monkeypatch.setattr(inotify.Inotify, "add", none_left)
    base = folder(library)

    async def scene() -> None:
        async with upkeep.running(library, check_seconds=0.3):
            await asyncio.sleep(0.5)
            old(base / "a.txt", "The stork is back.")

            async def read() -> bool:
                return await states(library) == {"a.txt": "indexed"}

            await until(read)
            said = await files_api.progress_of(library, "ann")
            assert said.trouble == upkeep.UNSEEN

    run(library, scene)


def test_a_full_disk_is_said_and_waited_out(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RETRY_SECONDS", 0.2)
    base = folder(library)
    old(base / "a.txt", "The stork is back.")

    def pages(db: sqlite3.Connection, most: int) -> None:
        db.execute(f"PRAGMA max_page_count = {most}").fetchone()

    async def scene() -> None:
        async with upkeep.running(library):

            async def first() -> bool:
                return await states(library) == {"a.txt": "indexed"}

            await until(first)
            await library.connections.write(pages, 1)  # what there is stays, and no more comes
            old(base / "b.txt", "\n\n".join(f"Paragraph {n} of the heron." for n in range(20_000)))
            library.changes.add(("ann", "b.txt"))

            async def said() -> bool:
                return library.pace.trouble == upkeep.FULL

            await until(said)
            found = await library.search("ann", "stork", 5)
            assert [source.document for source in found.sources] == ["a.txt"]
            await library.connections.write(pages, 1 << 30)

            async def both() -> bool:
                return (await states(library)).get("b.txt") == "indexed"

            await until(both)
            assert library.pace.trouble == ""

    run(library, scene)


def test_a_file_that_changes_while_it_is_read_is_read_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, real, reads = folder(library), extract.read, []
    old(base / "a.txt", "The stork is here.")

    def slow(path: Path) -> extract.Extract:
        found = real(path)
        reads.append(path)
        if len(reads) == 1:
            path.write_text("The stork has left.")
        return found

    monkeypatch.setattr(extract, "read", slow)

    async def scene() -> None:
        await library.refresh(("ann", "a.txt"))
        found = await library.search("ann", "stork", 5)
        assert [source.text for source in found.sources] == ["The stork has left."]

    run(library, scene)
    assert len(reads) == 2


def test_thousands_of_small_files_take_no_memory_to_notice(library: Library) -> None:
    base = folder(library)
    for number in range(FILES):
        old(base / f"{number}.txt", "small")

    async def scene() -> None:
        tracemalloc.start()
        await reconcile.everything(library, lambda folder: None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20
        waiting, _, _ = await library.connections.read(ledger.waiting, ("ann", "shared"))
        assert waiting == FILES
        (base / "0.txt").unlink()
        await reconcile.everything(library, lambda folder: None)
        assert await library.connections.read(ledger.count, "ann") == FILES - 1

    run(library, scene)


def test_terms_of_an_earlier_version_are_made_anew_in_the_background(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = folder(library)
    old(base / "a.txt", "herons fly")
    monkeypatch.setattr(upkeep, "BATCH", 1)

    async def scene() -> None:
        async with upkeep.running(library):
            await until(lambda: _indexed(library))
        monkeypatch.setattr(words, "VERSION", words.VERSION + 1)
        assert await library.connections.read(store.outworded, 0, 9)
        async with upkeep.running(library):
            await until(lambda: _reworded(library))

    run(library, scene)


async def _indexed(library: Library) -> bool:
    return (await states(library)).get("a.txt") == "indexed"


async def _reworded(library: Library) -> bool:
    return not await library.connections.read(store.outworded, 0, 9)
