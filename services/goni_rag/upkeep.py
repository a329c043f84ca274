"""What the service does by itself: make index and folders agree after a start, and add the vectors
that the engine couldn't give at once.

Both only ever bring the index nearer to the files, so they may stop and start again at any moment.
One bad file never keeps the others waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from goni_core.errors import GoniError, Unavailable
from goni_rag import folders, store
from goni_rag.embed import BATCH
from goni_rag.folders import File, Key
from goni_rag.library import Library
from goni_rag.store import Known

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Between two tries while the engine is down."""


@asynccontextmanager
async def running(library: Library) -> AsyncIterator[None]:
    """Keep ``library`` up to date for as long as the block runs."""
    task = asyncio.create_task(_forever(library))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _forever(library: Library) -> None:
    try:
        await catch_up(library)
        while True:
            library.vectors_wanted.clear()
            while await embed_some(library):
                pass
            await library.vectors_wanted.wait()
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("keeping the index up to date has stopped")
        raise


def stale(known: dict[Key, Known], found: dict[Key, File]) -> tuple[list[Key], list[Key]]:
    """Which documents the index has and the folders don't, and which files it doesn't know as they
    are.
    """
    gone = [key for key in known if key not in found]
    changed = [key for key, file in found.items() if not _same(known.get(key), file)]
    return gone, changed


def _same(known: Known | None, file: File) -> bool:
    if known is None:
        return False
    return (known.signature, known.version) == (file.signature, store.INDEX_VERSION)


async def catch_up(library: Library) -> None:
    """Drop rows whose file is gone and index files that the index doesn't know as they are."""
    known = await library.connections.read(store.known)
    found = await asyncio.to_thread(folders.scan, library.root)
    gone, changed = stale(known, found)
    if gone or changed:
        log.info("the index lacks %d documents and has %d too many", len(changed), len(gone))
    for key in [*gone, *changed]:
        try:
            await _refresh(library, key)
        except (GoniError, OSError) as error:
            log.warning("a document could not be indexed: %s", getattr(error, "code", "os_error"))
        except Exception:
            log.exception("a document could not be indexed")
    library.vectors_wanted.set()


async def _refresh(library: Library, key: Key) -> None:
    """Look at one file again under its lock; an upload may have come in between."""
    path = folders.place(library.root, *key)
    async with library.lock(key):
        if folders.look(path) is None:
            await library.connections.write(store.forget, key)
        else:
            sha256 = await asyncio.to_thread(folders.digest, path)
            await library.index(key, sha256, seconds=0.0)


async def embed_some(library: Library) -> bool:
    """Add a batch of missing vectors; False when none is missing. Waits a while when the engine is
    down.
    """
    waiting = await library.connections.read(store.pending, BATCH)
    if not waiting:
        return False
    try:
        vectors = await library.embedder.embed(list(waiting.values()))
    except Unavailable as error:
        log.debug("no vectors: %s", error.code)
        await asyncio.sleep(RETRY_SECONDS)
        return True
    await library.connections.write(store.fill, dict(zip(waiting, vectors, strict=True)))
    return True
