"""The library: everybody's documents, their files and their index kept the same.

    upload -> file in its folder -> text -> passages -> vectors -> one transaction -> answer

The file comes first and the index follows: what breaks off in between is found again by comparing
both (``reconcile``). Work on one document is done one after the other, on different ones at the
same time. Vectors that the engine doesn't give in time are added later (``upkeep``).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from goni_core import files
from goni_core.contract import DOCUMENT_LIMIT, Document
from goni_core.errors import Conflict, NotFound
from goni_rag import chunk, extract, folders, ledger, store
from goni_rag.changes import Changes
from goni_rag.chunk import Chunk
from goni_rag.connections import Connections
from goni_rag.embed import Embedder, Vector
from goni_rag.filters import ALL, Filters
from goni_rag.folders import File, Key
from goni_rag.pace import Pace
from goni_rag.rerank import Reranker
from goni_rag.searcher import Answer, Searcher
from goni_rag.sections import Unreadable

log = logging.getLogger(__name__)

UPLOAD_SECONDS = 10.0
"""How long an upload waits for vectors."""
EXTRACTIONS = 2
"""Files that are read at the same time."""
TRIES = 3
"""Times that a file is read that changes meanwhile; then its next change is waited for."""


@dataclass(frozen=True)
class Reading:
    """What reading a file came to."""

    state: str
    reason: str = ""
    pages: int = 0
    chunks: tuple[Chunk, ...] = ()


class Library:
    """All documents below ``state``; :meth:`close` before the process ends."""

    def __init__(self, state: Path, embedder: Embedder, reranker: Reranker | None = None) -> None:
        self.root = state / "folders"
        self.root.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._incoming = state / "incoming"
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        folders.empty(self._incoming)
        self.connections = Connections(state / "index.db")
        self.embedder = embedder
        self.changes = Changes()
        self.pace = Pace()
        self.reading_wanted = asyncio.Event()
        self.vectors_wanted = asyncio.Event()
        self._searcher = Searcher(self.connections, embedder, reranker)
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._extracting = asyncio.Semaphore(EXTRACTIONS)

    def close(self) -> None:
        self.connections.close()

    async def add(self, key: Key, body: AsyncIterable[bytes], announced: int | None) -> Document:
        """Take an uploaded document, replacing one of that name; searchable on return.

        ``announced`` is the Content-Length, when there is one. The folders above are made.
        """
        await asyncio.to_thread(folders.make, self.root, key[0], key[1].rpartition("/")[0])
        async with self._placed(key, body, announced) as sha256:
            await self.index(key, sha256, UPLOAD_SECONDS)
            return await self.document(key)

    async def keep(self, key: Key, body: AsyncIterable[bytes], announced: int | None) -> None:
        """As :meth:`add`, without waiting until it is read; its folder has to be there."""
        async with self._placed(key, body, announced):
            file = await asyncio.to_thread(folders.look, folders.place(self.root, *key))
            if file and not folders.hidden(key[1]):
                await self.connections.write(ledger.note, self.root, {key: file}, ledger.SOON)
                self.reading_wanted.set()

    @asynccontextmanager
    async def _placed(
        self, key: Key, body: AsyncIterable[bytes], announced: int | None
    ) -> AsyncIterator[str]:
        """The file of ``key`` as ``body`` says, and its SHA-256; its lock is held meanwhile."""
        path = folders.place(self.root, *key)
        async with AsyncExitStack() as held:
            await asyncio.to_thread(_check_place, self.root, key)
            with _still_there(), files.incoming(path, folder=self._incoming) as temporary:
                sha256 = await files.receive(
                    body, temporary, limit=DOCUMENT_LIMIT, announced=announced
                )
                await asyncio.to_thread(folders.sync, temporary)
                await held.enter_async_context(self.lock(key))
            yield sha256

    def spare(self) -> Path:
        """A path on the folders' file system where nothing is; what is left there is deleted at the
        next start.
        """
        return self._incoming / secrets.token_hex(8)

    async def document(self, key: Key) -> Document:
        """What is known of one document."""
        found = await self.connections.read(store.documents, *key)
        if not found:
            raise NotFound("there is no such document")
        return found[0]

    async def search(self, owner: str, query: str, k: int, filters: Filters = ALL) -> Answer:
        """What ``owner`` may see for ``query``: ``k`` sources at most."""
        folders.owner_id(owner)
        with self.pace.in_front():
            return await self._searcher.search(owner, query, k, filters)

    def lock(self, key: Key) -> asyncio.Lock:
        """Held by whoever changes the document ``key``."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def refresh(self, key: Key) -> None:
        """Make the index say what the file of ``key`` says now, or that there is none; vectors
        come later.
        """
        async with self.lock(key):
            if await asyncio.to_thread(ledger.gone, self.root, key):
                await self.connections.write(ledger.drop, self.root, [key])
                return
            with self.pace.reading(key):
                await self.index(key, "", seconds=0.0)
            # It may have gone while it was read, and its rows been dropped, before these came.
            if await asyncio.to_thread(ledger.gone, self.root, key):
                await self.connections.write(ledger.drop, self.root, [key])

    async def index(self, key: Key, sha256: str, seconds: float) -> None:
        """Make the index say what the file of ``key`` says, waiting at most ``seconds`` for
        vectors; no work when its content is indexed already. ``sha256`` is empty when it isn't
        known. The caller holds :meth:`lock`.
        """
        path = folders.place(self.root, *key)
        for _ in range(TRIES):
            file = _present(path)
            sha256 = sha256 or await asyncio.to_thread(content_id, file)
            known = await self.connections.read(store.known_one, key)
            if known and (known.sha256, known.version) == (sha256, store.INDEX_VERSION):
                await self.connections.write(store.sign, key, file.signature)
                return
            async with self._extracting:
                reading = await asyncio.to_thread(read, path)
            now = folders.look(path)
            if now is None or now.signature == file.signature:
                break
            sha256 = ""
        vectors = await self._vectors(key[1], reading.chunks, seconds)
        entry = store.Entry(
            *(*key, file.bytes, sha256, file.signature, reading.pages),
            *(reading.state, reading.reason, file.modified),
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


@contextmanager
def _still_there() -> Iterator[None]:
    """:class:`Conflict` when the folder of a document goes away while it is brought."""
    try:
        yield
    except FileNotFoundError as error:
        raise Conflict("the folder that it should be in isn't there", code="no_folder") from error


def _check_place(root: Path, key: Key) -> None:
    path = folders.place(root, *key)
    folders.folder(root, key[0])
    if not folders.straight(root, key) or not folders.is_folder(path.parent):
        raise Conflict("the folder that it should be in isn't there", code="no_folder")
    if folders.is_folder(path):
        raise Conflict("a folder has that name already", code="exists")


def _present(path: Path) -> File:
    file = folders.look(path)
    if file is None:
        raise NotFound("there is no such document")
    return file


def content_id(file: File) -> str:
    """SHA-256 of a file, in hex; of one that is too large to be read, what it looks like."""
    return file.signature if file.bytes > DOCUMENT_LIMIT else folders.digest(file.path)


def read(path: Path) -> Reading:
    """What can be had from the file at ``path``; blocking."""
    if path.stat().st_size > DOCUMENT_LIMIT:
        return Reading("unreadable", f"the file is larger than {DOCUMENT_LIMIT >> 20} MiB")
    try:
        found = extract.read(path)
    except Unreadable as error:
        return Reading("unreadable", error.message)
    except OSError as error:
        return Reading("unreadable", f"the disk doesn't give the file back ({error.strerror})")
    return Reading("indexed", found.note, found.pages, chunk.split(found, path.name))
