"""What the service does by itself: follow the folders, read what is new, add the vectors that the
engine couldn't give at once, make terms of an earlier version anew, and compare everything from
time to time.

Each of the tasks only ever brings the index nearer to the files, so that they may stop and start
again at any moment. One bad file never keeps the others waiting, and all of them step back while
somebody searches.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from goni_core.errors import DiskFull, NotFound, Unavailable
from goni_rag import folders, ledger, reconcile, store
from goni_rag.embed import BATCH
from goni_rag.folders import Key
from goni_rag.library import EXTRACTIONS, Library
from goni_rag.watch import Watch

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Between two tries while the engine is down or the disk is full."""
CHECK_SECONDS = 900.0
"""Between two full checks, for what events miss."""
FULL = "the disk is full: new documents wait until there is room"
UNSEEN = "there are more folders than can be watched: changes in some are found later"
FAILED = "Goni failed at this file; its log says why"


@asynccontextmanager
async def running(library: Library, check_seconds: float = CHECK_SECONDS) -> AsyncIterator[None]:
    """Keep ``library`` up to date for as long as the block runs."""
    watch = Watch(library.root, library.changes.add, library.changes.lose)
    folders.folder(library.root, folders.SHARED)
    watch.start()
    library.changes.lose()
    taken: set[Key] = set()
    steps: list[Callable[[], Awaitable[None]]] = [
        lambda: _follow(library, watch, check_seconds),
        *[lambda: _read(library, taken)] * EXTRACTIONS,
        lambda: _embed(library),
        lambda: _reword(library),
    ]
    tasks = [asyncio.create_task(_forever(library, step)) for step in steps]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        watch.stop()


async def _forever(library: Library, step: Callable[[], Awaitable[None]]) -> None:
    """``step`` again and again; what fails is tried again after a while."""
    while True:
        try:
            await step()
            library.pace.trouble = ""
        except (DiskFull, OSError) as error:
            full = isinstance(error, DiskFull) or error.errno in (errno.ENOSPC, errno.EDQUOT)
            library.pace.trouble = FULL if full else f"the disk fails: {error}"
            log.warning("keeping the index up to date: %s", getattr(error, "code", "os_error"))
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            log.exception("keeping the index up to date failed; it is tried again")
            await asyncio.sleep(RETRY_SECONDS)


async def _follow(library: Library, watch: Watch, check_seconds: float) -> None:
    """Look at what changed; at everything when that isn't known, or wasn't for a while."""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(check_seconds):
                while not library.changes.lost:
                    news = await library.changes.take()
                    await reconcile.agree(library, news, watch.cover)
        library.changes.lost = False
        await reconcile.everything(library, watch.cover)
        library.pace.unseen = watch.blind
    except BaseException:
        library.changes.lose()  # what was being looked at is as good as not seen
        raise


async def _read(library: Library, taken: set[Key]) -> None:
    """Read one document that is due, or wait for one."""
    library.reading_wanted.clear()
    due = await library.connections.read(ledger.due, EXTRACTIONS)
    key = next((key for key in due if key not in taken), None)
    if key is None:
        await library.reading_wanted.wait()
        return
    taken.add(key)
    try:
        await library.pace.step_back()
        await library.refresh(key)
    except NotFound:
        await library.connections.write(ledger.drop, library.root, [key])
    except DiskFull:
        raise
    except Exception:
        log.exception("a document could not be read")
        await _give_up(library, key)
    finally:
        taken.discard(key)


async def _give_up(library: Library, key: Key) -> None:
    """List a document as unreadable that made us fail, so that it isn't read for ever."""
    file = folders.look(folders.place(library.root, *key))
    if file is None:
        return
    entry = store.Entry(
        *(*key, file.bytes, "", file.signature, 0, "unreadable", FAILED, file.modified)
    )
    await library.connections.write(store.put, entry, (), ())


async def _embed(library: Library) -> None:
    """Add missing vectors, or wait until some are missing."""
    library.vectors_wanted.clear()
    while await embed_some(library):
        pass
    await library.vectors_wanted.wait()


async def _reword(library: Library) -> None:
    """Make the terms anew that an earlier version of Goni made; while the service runs no others
    come.
    """
    last = 0
    while some := await library.connections.read(store.outworded, last, BATCH):
        await library.pace.step_back()
        await library.connections.write(store.reword, some)
        last = some[-1]
    await asyncio.get_running_loop().create_future()


async def embed_some(library: Library) -> bool:
    """Add a batch of missing vectors; False when none is missing. Waits a while when the engine is
    down.
    """
    waiting = await library.connections.read(store.pending, BATCH)
    if not waiting:
        return False
    await library.pace.step_back()
    try:
        vectors = await library.embedder.embed(list(waiting.values()))
    except Unavailable as error:
        log.debug("no vectors: %s", error.code)
        await asyncio.sleep(RETRY_SECONDS)
        return True
    await library.connections.write(store.fill, dict(zip(waiting, vectors, strict=True)))
    return True
