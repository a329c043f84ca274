"""The gateway's downloads: one at a time, from the hub straight into the engine, which checks and
places the file. Nothing is stored on the way, so what is here is what the engine has noted.

A line that breaks is tried again with growing waits; a restart continues where the engine stands.
What can't get better by trying (another file, no room, a file that fails its checks) ends the job
with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from goni_core.contract import Remote
from goni_core.errors import Conflict, GoniError, TooMany, Unavailable
from goni_core.http import ANSWER_TIMEOUT, Service
from goni_gateway import jobs
from goni_gateway.database import Database
from goni_gateway.hub import Hub, Opened, OtherFile, Version
from goni_gateway.jobs import Job
from goni_gateway.pace import Pace

log = logging.getLogger(__name__)

WAITS_S = (1, 2, 5, 15, 30, 60, 120, 300, 300, 300, 300, 300)
"""Seconds before each new try; after the last one the job has failed. A byte that arrives starts
them over."""
BUSY_TRIES = 50
BUSY_S = 0.2


@dataclass
class _Progress:
    """Bytes of the running job that are here, of all its files, and how fast they come."""

    job: str
    bytes: int
    pace: Pace


class Downloads:
    """The queue of ``database``, worked off into ``engine``; ``hub`` is where the catalog says."""

    def __init__(self, database: Database, engine: Service) -> None:
        self._database = database
        self._engine = engine
        self._hub: Hub | None = None
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._progress = _Progress("", 0, Pace(0))

    async def start(self) -> None:
        """Continue what is waiting, from now on."""
        await self._database.do(jobs.prepare)
        self._hub = Hub()
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop in the middle; the next start continues."""
        for task in (self._worker, self._running):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, GoniError):
                    await task
        if self._hub is not None:
            await self._hub.close()

    async def add(self, model: str, title: str, source: str, files: Sequence[Remote]) -> Job:
        job = await self._database.do(jobs.add, model, title, source, files)
        self._wake.set()
        return job

    async def listed(self) -> list[dict[str, object]]:
        """Every job as the page shows it."""
        return [self._view(job) for job in await self._database.do(jobs.listed)]

    async def pause(self, job: str) -> None:
        """Hold it where it is; :class:`Conflict` when it has ended."""
        await self._change(job, jobs.PAUSED, jobs.WAITING)

    async def resume(self, job: str) -> None:
        """Back into the queue, a failed one too."""
        await self._change(job, jobs.QUEUED, (jobs.PAUSED, jobs.FAILED))

    async def remove(self, job: str) -> None:
        """Forget it, with what has arrived of an unfinished file."""
        await self._database.do(jobs.set_state, job, jobs.PAUSED)
        await self._interrupt(job)
        found = await self._database.do(jobs.get, job)
        await self._database.do(jobs.remove, job)
        await self._discard(found.incoming)

    async def rate(self) -> int:
        """The limit in bytes per second; 0: none."""
        return await self._database.do(jobs.rate)

    async def set_rate(self, bytes_per_second: int) -> None:
        await self._database.do(jobs.set_rate, bytes_per_second)
        self._progress.pace.limit = bytes_per_second

    async def _change(self, job: str, state: str, allowed: tuple[str, ...]) -> None:
        found = await self._database.do(jobs.get, job)
        if found.state not in allowed:
            raise Conflict(f"this download is {found.state}")
        await self._database.do(jobs.set_state, job, state)
        await self._interrupt(job)
        self._wake.set()

    async def _interrupt(self, job: str) -> None:
        if self._progress.job == job and self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError, GoniError):
                await self._running

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            job = await self._database.do(jobs.first_waiting)
            if job is None:
                await self._wake.wait()
                continue
            limit = await self.rate()
            self._progress = _Progress(job.id, job.done_bytes, Pace(limit))
            self._running = asyncio.create_task(self._run(job))
            # Its errors are its own: it notes them in the database.
            await asyncio.wait([self._running])
            self._progress.job = ""
            if not self._running.cancelled() and self._running.exception() is not None:
                log.error("a download ended by a bug", exc_info=self._running.exception())
                await self._end(job.id, jobs.FAILED, "an internal error; the log has the details")

    async def _run(self, job: Job) -> None:
        """Fetch ``job`` to its end, whatever that is."""
        log.info("downloading a model from outside")
        try:
            await self._keep(replace(job, state=jobs.RUNNING, reason=""))
            await self._fetch(job.id)
        finally:
            await self._database.do(jobs.note, job.id, self._progress.bytes)

    async def _fetch(self, key: str) -> None:
        tries = 0
        while (job := await self._database.do(jobs.find, key)) and job.state == jobs.RUNNING:
            before = self._progress.bytes
            try:
                await self._attempt(job)
            except OtherFile as error:
                await self._start_over(key, error)
            except GoniError as error:
                tries = 0 if self._progress.bytes > before else tries
                if not _passing(error) or tries == len(WAITS_S):
                    await self._end(key, jobs.FAILED, str(error))
                    return
                await self._end(key, jobs.RUNNING, error.message)
                await asyncio.sleep(WAITS_S[tries])
                tries += 1
            else:
                tries = 0

    async def _attempt(self, job: Job) -> None:
        """Go on with the present file; behind its last byte the next one is the present one."""
        assert self._hub is not None
        begun = await self._begun(job)
        offset = int(begun["offset"]) if begun else 0
        self._progress.bytes = job.before + offset
        etag = job.etag if begun else ""
        async with self._hub.open(job.source, job.file, offset, etag) as opened:
            version = opened.version
            if begun is None:
                incoming = await self._begin(job, version)
                if incoming is None:
                    await self._next(job)
                    return
                job = replace(job, incoming=incoming, etag=version.etag, size=version.bytes)
            elif begun["sha256"] != version.sha256:
                raise OtherFile("the hub's file was replaced while it was being downloaded")
            await self._keep(replace(job, reason=""))
            await self._send(job, opened, offset)
        await self._next(job)

    async def _next(self, job: Job) -> None:
        """The present file is here."""
        self._progress.bytes = job.before + (job.file.bytes or job.size)
        if job.place + 1 == len(job.files):
            await self._keep(replace(job, incoming="", etag="", state=jobs.DONE, reason=""))
        else:
            await self._keep(replace(job, incoming="", etag="", place=job.place + 1))

    async def _begun(self, job: Job) -> dict[str, Any] | None:
        """What the engine has of the present file; None when it knows nothing of it."""
        for _ in range(BUSY_TRIES if job.incoming else 0):
            try:
                said = await self._engine.call("GET", f"/incoming/{job.incoming}")
            except GoniError as error:
                if error.status == 404:
                    return None
                raise
            if not said["busy"]:  # else the request that broke off is still ending there
                return said
            await asyncio.sleep(BUSY_S)
        return None

    async def _begin(self, job: Job, version: Version) -> str | None:
        """A place for the present file at the engine; None when the engine has placed it already,
        and only this process didn't live to see it.
        """
        body = {"name": job.file.name, "bytes": version.bytes, "sha256": version.sha256}
        try:
            return str((await self._engine.call("POST", "/incoming", json=body))["id"])
        except GoniError as error:
            if job.incoming and error.status == 409:
                return None
            raise

    async def _start_over(self, key: str, error: OtherFile) -> None:
        """What is here belongs to another file: a new start begins at its first byte."""
        job = await self._database.do(jobs.get, key)
        await self._discard(job.incoming)
        self._progress.bytes = job.before
        fresh = replace(job, incoming="", etag="", size=0)
        await self._keep(replace(fresh, state=jobs.FAILED, reason=str(error)))

    async def _end(self, key: str, state: str, reason: str) -> None:
        job = await self._database.do(jobs.find, key)
        if job is not None:
            await self._keep(replace(job, state=state, reason=reason))

    async def _send(self, job: Job, opened: Opened, offset: int) -> None:
        left = opened.version.bytes - offset
        await self._engine.call(
            "PATCH",
            f"/incoming/{job.incoming}",
            content=self._counted(opened),
            headers={"upload-offset": str(offset), "content-length": str(left)},
            timeout=ANSWER_TIMEOUT,
        )

    async def _counted(self, opened: Opened) -> AsyncIterator[bytes]:
        async for block in opened.blocks():
            yield block
            self._progress.bytes += len(block)
            await self._progress.pace.passed(len(block))

    async def _discard(self, incoming: str) -> None:
        """Have the engine forget an unfinished file; it does so by itself after some days."""
        for _ in range(BUSY_TRIES if incoming else 0):
            try:
                await self._engine.call("DELETE", f"/incoming/{incoming}")
            except GoniError as error:
                if error.code == "busy":
                    await asyncio.sleep(BUSY_S)
                    continue
                log.info("an unfinished download stays with the engine: %s", error.code)
            return

    async def _keep(self, job: Job) -> None:
        await self._database.do(jobs.keep, replace(job, done_bytes=self._progress.bytes))

    def _view(self, job: Job) -> dict[str, object]:
        running = self._progress.job == job.id
        done = self._progress.bytes if running else job.done_bytes
        speed = self._progress.pace.speed(time.monotonic()) if running else 0.0
        left = max(0, job.bytes - done)
        return {
            "id": job.id,
            "model": job.model,
            "title": job.title,
            "state": job.state,
            "reason": job.reason,
            "bytes": job.bytes,
            "done_bytes": done,
            "bytes_per_second": round(speed),
            "seconds_left": round(left / speed) if speed >= 1 and job.bytes else None,
        }


def _passing(error: GoniError) -> bool:
    """Whether trying again can help."""
    return (
        isinstance(error, Unavailable | TooMany)
        or error.code in ("busy", "wrong_offset")
        or (error.status == 503)
    )
