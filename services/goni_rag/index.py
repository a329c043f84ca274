"""Index the files of a folder into a database of one's own: ``goni-rag index`` and ``eval``.

    files -> hash, and text of those that changed -> passages -> vectors -> one transaction each

Files go in groups, so that the engine always has full batches and memory stays bounded. A file
whose content the index has is skipped, a file that is gone is forgotten. What breaks off keeps what
was committed. The service's folders go another way (``library``), because people wait there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput
from goni_rag import chunk, folders, library, store
from goni_rag.connections import Connections
from goni_rag.embed import Embedder, Vector
from goni_rag.folders import Key
from goni_rag.library import Reading
from goni_rag.progress import Progress
from goni_rag.store import Entry, Known

GROUP_FILES = 64
GROUP_BYTES = 8 << 20
BATCH = 64
"""Passages of one request; the engine cuts them into its own batches."""
REQUESTS = 3
"""On their way at once, so that the engine never waits for us."""


@dataclass(frozen=True)
class Counts:
    """What came of a run: files, by what happened to them."""

    indexed: int = 0
    unchanged: int = 0
    unreadable: int = 0
    removed: int = 0
    passages: int = 0


@dataclass(frozen=True)
class Read:
    """A file that was read because it changed."""

    entry: Entry
    reading: Reading


def files(folder: Path) -> list[Path]:
    """Every regular file below ``folder``, in order; hidden ones and links are left alone.
    :class:`BadInput` when it isn't a folder that can be read.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")

    def refused(error: OSError) -> None:
        raise BadInput(f"{error.filename} can't be read: {error.strerror}")

    found = []
    for parent, inner, names in os.walk(folder, onerror=refused):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if path.is_file() and not path.is_symlink()]


async def index(
    connections: Connections,
    embedder: Embedder,
    folder: Path,
    owner: str,
    *,
    at_once: bool = False,
) -> Counts:
    """Make ``owner``'s rows say what is in ``folder``. ``at_once``: for an index that is thrown
    away, of files whose names are mere ids; one transaction for a group of them.
    """
    paths = files(folder)
    names = {path: _name(path, folder) for path in paths}
    known = await connections.read(store.known)
    there = set(names.values())
    gone = [key for key in known if key[0] == owner and key[1] not in there]
    for key in gone:
        await connections.write(store.forget, key)
    said = Progress("files", len(paths))
    counts = Counts(removed=len(gone))
    ahead: asyncio.Task[list[Read]] | None = None
    groups = list(_groups(paths))
    for number, group in enumerate(groups):
        work = ahead or asyncio.create_task(_read(group, names, owner, known))
        read = await work
        following = groups[number + 1 : number + 2]
        ahead = asyncio.create_task(_read(following[0], names, owner, known)) if following else None
        vectors = await _vectors(embedder, read, named=not at_once)
        await _put(connections, read, vectors, at_once=at_once)
        said.step(len(group))
        counts = _counted(counts, read, len(group))
    said.end()
    return counts


def _name(path: Path, folder: Path) -> str:
    """The path below ``folder``; what isn't UTF-8 in it is written as ``\\xff``."""
    inner = os.fsencode(path.relative_to(folder))
    return inner.decode("utf-8", "backslashreplace")


def _groups(paths: Sequence[Path]) -> Iterator[list[Path]]:
    group: list[Path] = []
    size = 0
    for path in paths:
        group.append(path)
        size += path.stat().st_size
        if len(group) >= GROUP_FILES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


async def _read(
    group: Sequence[Path], names: dict[Path, str], owner: str, known: dict[Key, Known]
) -> list[Read]:
    """Those of ``group`` that changed, read; in a thread."""

    def some() -> list[Read]:
        found = (_changed(path, (owner, names[path]), known) for path in group)
        return [one for one in found if one]

    return await asyncio.to_thread(some)


def _changed(path: Path, key: Key, known: dict[Key, Known]) -> Read | None:
    file = folders.look(path)
    if file is None:
        return None
    before = known.get(key)
    sha256 = folders.digest(path)
    if before and (before.sha256, before.version) == (sha256, store.INDEX_VERSION):
        return None
    reading = library.read(path)
    entry = Entry(
        *(*key, file.bytes, sha256, file.signature),
        *(reading.pages, reading.state, reading.reason, file.modified),
    )
    return Read(entry, reading)


async def _vectors(embedder: Embedder, read: Sequence[Read], *, named: bool) -> list[Vector]:
    texts = [
        chunk.embedded_text(one.entry.name if named else "", part.heading, part.text)
        for one in read
        for part in one.reading.chunks
    ]
    # Texts of like length share a batch without waste; the longest first, so that none is late.
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    vectors: list[Vector] = [b""] * len(texts)
    turns = asyncio.Semaphore(REQUESTS)

    async def ask(batch: list[int]) -> None:
        async with turns:
            answers = await embedder.embed([texts[number] for number in batch])
        for number, vector in zip(batch, answers, strict=True):
            vectors[number] = vector

    await asyncio.gather(*map(ask, batches))
    return vectors


async def _put(
    connections: Connections, read: Sequence[Read], vectors: Sequence[Vector], *, at_once: bool
) -> None:
    rest = iter(vectors)
    ready = [
        (one.entry, one.reading.chunks, [next(rest) for _ in one.reading.chunks]) for one in read
    ]
    if at_once:
        await connections.write(store.put_all, ready)
        return
    for one in ready:
        await connections.write(store.put, *one)


def _counted(counts: Counts, read: Sequence[Read], looked_at: int) -> Counts:
    unreadable = sum(one.reading.state == "unreadable" for one in read)
    return Counts(
        counts.indexed + len(read) - unreadable,
        counts.unchanged + looked_at - len(read),
        counts.unreadable + unreadable,
        counts.removed,
        counts.passages + sum(len(one.reading.chunks) for one in read),
    )
