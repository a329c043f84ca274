"""The library: everybody's documents, their files and their index kept the same.

    upload -> file in its folder -> text -> passages -> vectors -> one transaction -> answer

The file comes first and the index follows: what breaks off in between is found at the next start by
comparing both (``upkeep``). Work on one document is done one after the other, on different ones at
the same time. Vectors that the engine doesn't give in time are added later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from goni_core import files
from goni_core.contract import DOCUMENT_LIMIT, Document, Source
from goni_core.errors import NotFound
from goni_rag import chunk, extract, folders, retrieve, store
from goni_rag.chunk import Chunk
from goni_rag.connections import Connections
from goni_rag.embed import Embedder, Vector
from goni_rag.folders import Key
from goni_rag.sections import Unreadable
from goni_rag.semantic import Semantic

log = logging.getLogger(__name__)

UPLOAD_SECONDS = 10.0
"""How long an upload waits for vectors."""
SEARCH_SECONDS = 10.0
"""How long a question waits for its vector before words alone have to do."""
EXTRACTIONS = 2
"""Files that are read at the same time."""


@dataclass(frozen=True)
class Reading:
    """What reading a file came to."""

    state: str
    reason: str = ""
    pages: int = 0
    chunks: tuple[Chunk, ...] = ()


class Library:
    """All documents below ``state``; :meth:`close` before the process ends."""

    def __init__(self, state: Path, embedder: Embedder) -> None:
        self.root = state / "folders"
        self.root.mkdir(parents=True, mode=0o700, exist_ok=True)
        folders.sweep(self.root)
        self.connections = Connections(state / "index.db")
        self.embedder = embedder
        self.vectors_wanted = asyncio.Event()
        self._near = Semantic()
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._extracting = asyncio.Semaphore(EXTRACTIONS)

    def close(self) -> None:
        self.connections.close()

    async def add(self, key: Key, body: AsyncIterable[bytes], announced: int | None) -> Document:
        """Take an uploaded document, replacing one of that name; searchable on return.

        ``announced`` is the Content-Length, when there is one.
        """
        path = folders.place(self.root, *key)
        await asyncio.to_thread(folders.folder, self.root, key[0])
        async with AsyncExitStack() as held:
            with files.incoming(path) as temporary:
                sha256 = await files.receive(
                    body, temporary, limit=DOCUMENT_LIMIT, announced=announced
                )
                await asyncio.to_thread(folders.sync, temporary)
                await held.enter_async_context(self.lock(key))
            await self.index(key, sha256, UPLOAD_SECONDS)
            return (await self.documents(*key))[0]

    async def remove(self, key: Key) -> None:
        """Delete a document and everything made from it."""
        path = folders.place(self.root, *key)
        async with self.lock(key):
            was_there = await asyncio.to_thread(folders.remove, path)
            was_known = await self.connections.write(store.forget, key)
        if not (was_there or was_known):
            raise NotFound("there is no such document")

    async def documents(self, owner: str, name: str | None = None) -> list[Document]:
        """``owner``'s documents by name, or only the one called ``name``."""
        return await self.connections.read(store.documents, folders.owner_id(owner), name)

    async def search(self, owner: str, query: str, k: int) -> list[Source]:
        """The ``k`` best passages for ``query`` that ``owner`` may see, best first."""
        folders.owner_id(owner)
        asked = chunk.clipped(query, chunk.ROOM)
        vector = (await self.embedder.within([asked], SEARCH_SECONDS))[0]
        return await self.connections.read(retrieve.search, self._near, owner, query, vector, k)

    def lock(self, key: Key) -> asyncio.Lock:
        """Held by whoever changes the document ``key``."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def index(self, key: Key, sha256: str, seconds: float) -> None:
        """Make the index say what the file of ``key`` says, waiting at most ``seconds`` for
        vectors; no work when its content is indexed already. The caller holds :meth:`lock`.
        """
        file = folders.look(folders.place(self.root, *key))
        if file is None:
            raise NotFound("there is no such document")
        known = await self.connections.read(store.known_one, key)
        if known and (known.sha256, known.version) == (sha256, store.INDEX_VERSION):
            await self.connections.write(store.sign, key, file.signature)
            return
        async with self._extracting:
            reading = await asyncio.to_thread(read, file.path)
        vectors = await self._vectors(key[1], reading.chunks, seconds)
        entry = store.Entry(
            *(*key, file.bytes, sha256, file.signature),
            *(reading.pages, reading.state, reading.reason, file.modified),
        )
        await self.connections.write(store.put, entry, reading.chunks, vectors)
        log.info("a document of %d bytes: %d passages", file.bytes, len(reading.chunks))
        if None in vectors:
            self.vectors_wanted.set()

    async def _vectors(
        self, name: str, chunks: tuple[Chunk, ...], seconds: float
    ) -> list[Vector | None]:
        texts = [chunk.embedded_text(name, part.heading, part.text) for part in chunks]
        return await self.embedder.within(texts, seconds)


def read(path: Path) -> Reading:
    """What can be had from the file at ``path``; blocking."""
    try:
        found = extract.read(path)
    except Unreadable as error:
        return Reading("unreadable", error.message)
    return Reading("indexed", found.note, found.pages, chunk.split(found, path.name))
