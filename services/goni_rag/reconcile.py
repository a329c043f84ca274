"""Makes the list of documents agree with the folders, for one file, one folder, or everything.

First every file that came is noticed, then every document that went is dropped: so what was merely
renamed has its rows under the new name before anybody misses the old one. Memory stays the same
however many files there are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from goni_rag import folders, ledger
from goni_rag.folders import File, Key
from goni_rag.library import Library

Enter = Callable[[Path], None]
"""Called with each folder before it is read."""
YOUNG = 2.0
"""Seconds since its last change in which a file may still be being written."""


async def agree(
    library: Library, keys: Mapping[Key, bool], enter: Enter, urgency: int = ledger.SOON
) -> None:
    """Look at each file or folder of ``keys`` and all below it. Files that changed a moment ago are
    put off, unless their own key says that nobody writes to them any more.
    """
    for key, closed in keys.items():
        await _notice(library, key, closed, enter, urgency)
    for key in keys:
        await _drop(library, key)


async def everything(library: Library, enter: Enter) -> None:
    """Look at all folders of everybody, and at all documents of whoever has none any more."""
    there = await asyncio.to_thread(folders.owners, library.root)
    known = await library.connections.read(ledger.owners)
    keys = dict.fromkeys([(owner, "") for owner in sorted({*there, *known})], False)
    await agree(library, keys, enter, ledger.LATER)


async def _notice(library: Library, key: Key, closed: bool, enter: Enter, urgency: int) -> None:
    batches = folders.walk(library.root, key, enter)
    while batch := await asyncio.to_thread(_next, batches):
        await library.pace.step_back()
        news = await library.connections.read(ledger.unknown, batch)
        young_ones = {each: file for each, file in news.items() if _young(file)}
        renamed = await library.connections.read(ledger.renamed, library.root, young_ones)
        for young in young_ones:
            if young not in renamed and not (closed and young == key):
                library.changes.add(young, closed=False)
                del news[young]
        if news:
            await library.connections.write(ledger.note, library.root, news, urgency)
            library.reading_wanted.set()


async def _drop(library: Library, key: Key) -> None:
    after = ""
    while keys := await library.connections.read(ledger.below, key, after, folders.BATCH):
        after = keys[-1][1]
        if gone := await asyncio.to_thread(_gone, library.root, keys):
            await library.connections.write(ledger.drop, library.root, gone)


def _next(batches: Iterator[dict[Key, File]]) -> dict[Key, File]:
    return next(batches, {})


def _gone(root: Path, keys: list[Key]) -> list[Key]:
    return [key for key in keys if ledger.gone(root, key)]


def _young(file: File) -> bool:
    """Whether somebody may still be writing it."""
    return 0 <= time.time() - file.modified < YOUNG
