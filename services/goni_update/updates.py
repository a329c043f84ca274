"""Checking and applying, as the service does them: without root, one at a time.

Flow of an update: metadata -> the release that this node may take -> staging -> a request to the
writer, which is root -> its result -> wait for the household's quiet hours and the last answer ->
restart. What became of it is found out by the next boot (:func:`goni_update.state.settle`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from goni_core import fields, files, paths, serve
from goni_core.errors import BadInput, Conflict, GoniError, NotFound, Unavailable
from goni_update import catalog, quiet, slots, staging, state, trust, version
from goni_update.catalog import Release
from goni_update.progress import Board
from goni_update.slots import Slots
from goni_update.source import Folder, Server, Source
from goni_update.staging import Base, Staging
from goni_update.state import Event, State
from goni_update.trust import Trust
from goni_update.version import Version

log = logging.getLogger(__name__)

ADDRESS = "GONI_UPDATES"
"""Environment variable with another server's address."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOOK_S, LOOK_RESTART_S = 0.2, 20.0
WRITER_S = 3600.0
NO_SERVER = "this image knows no update server"


@dataclass(frozen=True)
class Places:
    """Where things are on a node; tests have others. ``image`` is /usr's, opened by systemd."""

    folder: Path
    run: Path = Path("/run/goni-update")
    base: Path = Path("/var/lib/goni/update-writer")
    usr: Path = Path("/usr")
    image: int | None = None
    root: Path = trust.ROOT
    release: Path = version.OS_RELEASE
    server: Path = Path("/usr/share/goni/update/server")
    machine: Path = Path("/etc/machine-id")


class Updates:
    """The node's updates. ``clock`` gives the local time."""

    def __init__(self, places: Places, *, clock: Callable[[], datetime] | None = None) -> None:
        self.places = places
        self.board = Board()
        self._clock = clock or (lambda: datetime.now().astimezone())
        self._job: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        places.folder.mkdir(parents=True, exist_ok=True)
        files.sweep(places.folder)
        self.state = state.load(places.folder / "state.json")

    # --- The service's life.

    def start(self) -> None:
        """Find out what became of the last update; wait again for a restart that was waited for."""
        settled = state.settle(
            self.state,
            self.slots(),
            boot=_text(BOOT_ID),
            health=_bytes(self.places.folder / "health-failed.json"),
            at=self._at(),
        )
        if settled != self.state:
            log.info("version %s: %s", settled.events[0].version, settled.events[0].what)
            self.keep(settled)
        if self.state.pending and self.state.pending_boot == _text(BOOT_ID):
            self._restarting = asyncio.create_task(self._restart(now=False, urgent=False))

    async def stop(self) -> None:
        for task in (self._job, self._restarting):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def keep(self, changed: State) -> None:
        state.save(changed, self.places.folder / "state.json")
        self.state = changed

    # --- What can be asked.

    def slots(self) -> Slots:
        """The slots as the writer reported them last."""
        try:
            return slots.parse((self.places.run / "slots.json").read_bytes())
        except (OSError, GoniError):
            return Slots(version.running(self.places.release).version, ())

    def status(self) -> dict[str, Any]:
        found = self.slots()
        system = version.running(self.places.release)
        return {
            "version": str(system.version),
            "variant": system.variant,
            "channel": self.state.channel,
            "paused": self.state.paused,
            "quiet_from": self.state.quiet_from,
            "quiet_until": self.state.quiet_until,
            "checked": self.state.checked,
            "offered": self.state.offered,
            "trouble": self.state.trouble,
            "pending": self.state.pending,
            "staged": staging.staged_release(self.places.folder / "staged"),
            "failed": sorted(map(str, self.state.failed)),
            "slots": found.plain()["slots"],
            "last": [vars(event) for event in self.state.events[:1]],
            "development": bool(
                trust.read_root(self.places.root).unrecognized_fields.get(trust.DEVELOPMENT)
            ),
            "progress": vars(self.board.now),
        }

    async def check(self, folder: Path | None = None) -> dict[str, Any]:
        """Look for a release; returns it, or nothing, with the reason in words."""
        self._only_one()
        _, release = await self._look(folder, wanted=None)
        if release is None:
            return {"offered": "", "words": "this is the newest version for this node"}
        return {
            "offered": str(release.version),
            "words": f"version {release.version} can be installed",
            "urgency": release.urgency,
            "notes": release.notes,
            "date": release.date,
        }

    def begin(self, *, wanted: Version | None, now: bool, folder: Path | None) -> None:
        """Start an update in the background; :class:`Conflict` while another runs."""
        self._only_one()
        self.board.begin("apply")
        self._job = asyncio.create_task(self._guarded(self._apply(wanted, now, folder)))

    async def automatic(self) -> dict[str, Any]:
        """What the timer does: check, and apply unless somebody paused it."""
        if self.state.paused or self.state.pending:
            return {"words": "updates are paused" if self.state.paused else "a restart is due"}
        if not self._address():
            return {"words": NO_SERVER}
        found = await self.check()
        if found["offered"]:
            self.begin(wanted=None, now=False, folder=None)
        return found

    async def rollback(self, *, now: bool) -> dict[str, Any]:
        """Go back to the version in the other slot."""
        self._only_one()
        other = slots.to_go_back_to(self.slots())
        running = str(self.slots().running)
        await self._ask("rollback", None)
        words = f"back to {other.version}"
        self.keep(self.state.after(Event(self._at(), "rolled back", running, words)))
        if now:
            self._request_restart()
        return {"version": str(other.version), "words": f"{other.version} starts at the next boot"}

    def change(self, settings: fields.Object) -> None:
        """Take new settings; :class:`BadInput` names the one that is wrong."""
        fields.only(settings, ("channel", "paused", "quiet_from", "quiet_until"))
        channel = fields.text(settings, "channel", default=self.state.channel)
        if channel not in catalog.CHANNELS:
            raise BadInput(f"there is no channel {channel[:40]!r}", hint="stable or beta")
        old = self.state
        changed = replace(
            old,
            channel=channel,
            offered=old.offered if channel == old.channel else "",
            paused=fields.flag(settings, "paused", default=old.paused),
            quiet_from=_hour(settings, "quiet_from", old.quiet_from),
            quiet_until=_hour(settings, "quiet_until", old.quiet_until),
        )
        self.keep(changed)

    # --- How it is done.

    def _only_one(self) -> None:
        if self._job is not None and not self._job.done():
            raise Conflict("an update is running already", code="busy")

    async def _guarded(self, work: Any) -> None:
        try:
            self.board.end(await work)
        except GoniError as error:
            log.warning("the update ended: %s", error)
            self.keep(replace(self.state, trouble=str(error)))
            self.board.fail(error)
        except BaseException:
            self.board.fail(GoniError("an internal error; the node's log has the details"))
            raise

    async def _apply(self, wanted: Version | None, now: bool, folder: Path | None) -> str:
        trusted, release = await self._look(folder, wanted=wanted)
        if release is None:
            return "this is the newest version for this node"
        self.board.about(str(release.version))
        here = version.running(self.places.release).version
        staging.must_be_above(release, here)
        uki = self.places.base / f"goni_{here}.efi"
        base = Base(here, self.places.usr, self.places.image, uki)
        area = Staging(self.places.folder, trusted, self._source(folder), self.board.report)
        chosen = await asyncio.to_thread(area.bring, release, base)
        log.info("version %s is staged, %d bytes were needed", release.version, chosen.bytes)
        self.board.report("write", 0, 0)
        await self._ask("write", release.version)
        shutil.rmtree(area.staged, ignore_errors=True)
        self.keep(
            replace(
                self.state, pending=str(release.version), pending_boot=_text(BOOT_ID), trouble=""
            ).after(Event(self._at(), "written", str(release.version)))
        )
        self._restarting = asyncio.create_task(self._restart(now=now, urgent=bool(release.urgency)))
        return f"version {release.version} is installed; it starts with the next restart"

    async def _look(
        self, folder: Path | None, *, wanted: Version | None
    ) -> tuple[Trust, Release | None]:
        """The newest release for this node, or the ``wanted`` one."""
        trusted = await asyncio.to_thread(self._trust, folder)
        try:
            await asyncio.to_thread(trusted.refresh)
            release = await asyncio.to_thread(self._choose, trusted, wanted)
        except GoniError as error:
            self.keep(replace(self.state, trouble=str(error)))
            raise
        offered = str(release.version) if release else ""
        self.keep(replace(self.state, checked=self._at(), offered=offered, trouble=""))
        return trusted, release

    def _choose(self, trusted: Trust, wanted: Version | None) -> Release | None:
        system = version.running(self.places.release)
        try:
            listed = trusted.catalog(self.state.channel, system.variant)
        except NotFound:
            if wanted is None:
                return None
            raise
        if wanted is None:
            node = _text(self.places.machine)
            return catalog.choose(listed, system.version, node=node, failed=self.state.failed)
        for release in listed.releases:
            if release.version == wanted:
                return release
        raise NotFound(f"{self.state.channel} doesn't offer {wanted}", code="not_published")

    def _trust(self, folder: Path | None) -> Trust:
        known = [trust.image_date(self.places.release)]
        if self.state.checked:
            known.append(datetime.fromisoformat(self.state.checked))
        now = trust.reference(self._clock(), *known)
        mirror = self.places.folder / "mirror"
        mirror.mkdir(exist_ok=True)
        return Trust(
            self.places.folder / "tuf",
            self.places.root,
            self._source(folder),
            now=now,
            mirror=mirror,
        )

    def _source(self, folder: Path | None) -> Source:
        if folder is not None:
            if not (folder / "metadata").is_dir():
                raise NotFound(
                    "there is no release in that folder", hint="it should hold metadata/, targets/"
                )
            return Folder(folder)
        address = self._address()
        if not address:
            raise Conflict(
                NO_SERVER,
                hint="goni-update apply --from DIR takes a release from a stick",
                code="no_server",
            )
        return Server(address)

    def _address(self) -> str:
        return os.environ.get(ADDRESS) or _text(self.places.server)

    async def _ask(self, action: str, number: Version | None) -> None:
        """Have the writer do something, and wait for its word."""
        key = secrets.token_hex(16)
        asked = {"id": key, "action": action, "channel": self.state.channel}
        if number is not None:
            asked["version"] = str(number)
        files.write(self.places.folder / "request.json", json.dumps(asked).encode(), mode=0o644)
        try:
            async with asyncio.timeout(WRITER_S):
                result = await self._result(key)
        except TimeoutError as error:
            raise Unavailable("the writer of updates doesn't answer") from error
        if not fields.flag(result, "ok"):
            raise GoniError(fields.text(result, "words", longest=10_000), code="write_failed")

    async def _result(self, key: str) -> fields.Object:
        while True:
            try:
                result = fields.parse((self.places.run / "result.json").read_bytes())
                if result.get("id") == key:
                    return result
            except (OSError, BadInput):
                pass
            await asyncio.sleep(LOOK_S)

    async def _restart(self, *, now: bool, urgent: bool) -> None:
        """Wait for a good moment; an urgent version doesn't wait for the night."""
        while not now:
            time = self._clock()
            night = quiet.hours(time, self.state.quiet_from, self.state.quiet_until)
            if (night or urgent) and not self.state.paused and not await quiet.answering():
                break
            await asyncio.sleep(LOOK_RESTART_S)
        self._request_restart()

    def _request_restart(self) -> None:
        log.info("restarting into the other version")
        files.write(self.places.folder / "restart", b"now\n", mode=0o644)

    def _at(self) -> str:
        return self._clock().isoformat(timespec="seconds")


def _hour(settings: fields.Object, name: str, now: int) -> int:
    return fields.integer(settings, name, least=0, most=23, default=now)


def places() -> Places:
    """Where things are on this node."""
    return Places(paths.state_dir("update"), image=serve.opened("usr"))


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", errors="replace").strip()


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as source:
            return source.read(1 << 20)
    except OSError:
        return b""
