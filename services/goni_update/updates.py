"""Checking and applying, as the service does them: without root, one at a time.

Flow of an update: metadata -> the release that this node may take -> is it this node's turn in the
household -> staging -> a request to the writer, which is root -> its result -> wait for the quiet
hours and the last answer -> restart. What became of it is found out by the next boot
(:func:`goni_update.state.settle`).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from goni_core import fields, files, paths, serve
from goni_core.errors import Conflict, GoniError
from goni_update import offers, quiet, slots, staging, state, trust, version
from goni_update.catalog import Release
from goni_update.errands import Errands
from goni_update.household import LEFT, PROVED, TRYING, Household, Report, must_wait
from goni_update.offers import NO_SERVER, Offer, Places
from goni_update.peers import Nobody, Peers
from goni_update.plan import Base
from goni_update.progress import Board
from goni_update.slots import Slots
from goni_update.staging import Staging
from goni_update.state import Event, State
from goni_update.version import Version
from goni_update.watch import Watch

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SHOWN = (
    *("channel", "paused", "quiet_from", "quiet_until", "checked", "offered", "notes", "urgency"),
    *("trouble", "pending"),
)
"""What of the state everybody may see as it is."""


class Updates:
    """The node's updates. ``clock`` gives the local time."""

    def __init__(
        self,
        places: Places,
        *,
        clock: Callable[[], datetime] | None = None,
        peers: Peers | None = None,
    ) -> None:
        self.places = places
        self.board = Board()
        self._clock = clock or (lambda: datetime.now().astimezone())
        self._peers = peers or Nobody()
        self._errands = Errands(places.folder, places.run)
        self._household = Household()
        self._job: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.watch = Watch(self.automatic, places.sticks)
        places.folder.mkdir(parents=True, exist_ok=True)
        files.sweep(places.folder)
        self.state = state.load(places.folder / "state.json")

    # --- The service's life.

    def start(self) -> None:
        """Find out what became of the last update; wait again for a restart that was waited for."""
        settled = state.settle(
            self.state,
            self.slots(),
            boot=offers.text(BOOT_ID),
            health=offers.content(self.places.folder / "health-failed.json"),
            at=self._at(),
        )
        became = settled.events[0] if settled != self.state else None
        if became:
            log.info("version %s: %s", became.version, became.what)
            self.keep(settled)
        if self._waits_for_restart():
            self._restarting = asyncio.create_task(self._restart(now=False, urgent=False))
        self._watching = asyncio.create_task(self._live(became))

    async def stop(self) -> None:
        for task in (self._job, self._restarting, self._watching):
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
            return Slots(self._here(), ())

    def status(self) -> dict[str, Any]:
        system = version.running(self.places.release)
        root = trust.read_root(self.places.root)
        return {
            "version": str(system.version),
            "variant": system.variant,
            **{name: getattr(self.state, name) for name in SHOWN},
            "staged": staging.staged_release(self.places.folder / "staged"),
            "failed": sorted(map(str, self.state.failed)),
            "slots": self.slots().plain()["slots"],
            "waits": self.watch.waits,
            "sticks": self.watch.labels,
            "last": [vars(event) for event in self.state.events[:1]],
            "development": bool(root.unrecognized_fields.get(trust.DEVELOPMENT)),
            "progress": vars(self.board.now),
        }

    async def check(self, folder: Path | None = None) -> dict[str, Any]:
        """Look for a release; returns it, or nothing, with the reason in words."""
        self._only_one()
        release = (await self._look(folder, wanted=None)).release
        if release is None:
            return {"offered": "", "words": "this is the newest version for this node"}
        return {
            "offered": str(release.version),
            "words": f"version {release.version} can be installed",
            "urgency": release.urgency,
            "notes": release.notes,
            "date": release.date,
        }

    def begin(
        self, *, wanted: Version | None, now: bool, folder: Path | None, by_hand: bool = True
    ) -> None:
        """Start an update in the background; :class:`Conflict` while another runs."""
        self._only_one()
        self.board.begin("apply")
        work = self._apply(wanted, now, folder, by_hand)
        self._job = asyncio.create_task(self._guarded(work))

    async def automatic(self, folder: Path | None = None) -> dict[str, Any]:
        """What the timer does, and a stick in ``folder``: check, and apply unless somebody paused
        it or another node of the household goes first.
        """
        self.watch.wait("")
        if self.state.paused or self.state.pending:
            return {"words": "updates are paused" if self.state.paused else "a restart is due"}
        if folder is None and not self.places.address:
            return {"words": NO_SERVER}
        found = await self.check(folder)
        if not found["offered"]:
            return found
        words = await self._turn(version.parse(found["offered"]), by_hand=False)
        if words:
            self.watch.wait(words)
            return {**found, "words": words}
        self.begin(wanted=None, now=False, folder=folder, by_hand=False)
        return found

    def restart(self) -> dict[str, Any]:
        """Restart into the version that waits for it; :class:`Conflict` when none does."""
        self._only_one()
        if not self._waits_for_restart():
            raise Conflict("no version waits for a restart", code="nothing_pending")
        self._errands.restart()
        return {"version": self.state.pending, "words": f"{self.state.pending} starts now"}

    async def rollback(self, *, now: bool) -> dict[str, Any]:
        """Go back to the version in the other slot."""
        self._only_one()
        other = slots.to_go_back_to(self.slots())
        running = self.slots().running
        await self._errands.do("rollback", self.state.channel)
        words = f"back to {other.version}"
        self.keep(self.state.after(Event(self._at(), "rolled back", str(running), words)))
        await self._tell(running, LEFT)
        if now:
            self._errands.restart()
        return {"version": str(other.version), "words": f"{other.version} starts at the next boot"}

    def change(self, settings: fields.Object) -> None:
        """Take new settings; :class:`BadInput` names the one that is wrong."""
        self.keep(state.changed(self.state, settings))

    # --- How it is done.

    def _only_one(self) -> None:
        if self._job is not None and not self._job.done():
            raise Conflict("an update is running already", code="busy")

    def _here(self) -> Version:
        return version.running(self.places.release).version

    def _waits_for_restart(self) -> bool:
        return bool(self.state.pending) and self.state.pending_boot == offers.text(BOOT_ID)

    async def _guarded(self, work: Coroutine[Any, Any, str]) -> None:
        try:
            self.board.end(await work)
        except GoniError as error:
            log.warning("the update ended: %s", error)
            self.keep(replace(self.state, trouble=str(error)))
            self.board.fail(error)
        except BaseException:
            self.board.fail(GoniError("an internal error; the node's log has the details"))
            raise

    async def _apply(
        self, wanted: Version | None, now: bool, folder: Path | None, by_hand: bool
    ) -> str:
        found = await self._look(folder, wanted=wanted)
        release = found.release
        if release is None:
            return "this is the newest version for this node"
        self.board.about(str(release.version))
        here = self._here()
        staging.must_be_above(release, here)
        words = await self._turn(release.version, by_hand=by_hand)
        if words:
            raise Conflict(words, code="not_our_turn")
        uki = self.places.base / f"goni_{here}.efi"
        base = Base(here, self.places.usr, self.places.image, uki)
        area = Staging(self.places.folder, found.trusted, found.source, self.board.report)
        chosen = await asyncio.to_thread(area.bring, release, base)
        log.info("version %s is staged, %d bytes were needed", release.version, chosen.bytes)
        await self._write(release)
        shutil.rmtree(area.staged, ignore_errors=True)
        self._restarting = asyncio.create_task(self._restart(now=now, urgent=bool(release.urgency)))
        return f"version {release.version} is installed; it starts with the next restart"

    async def _write(self, release: Release) -> None:
        self.board.report("write", 0, 0)
        await self._tell(release.version, TRYING)
        try:
            await self._errands.do("write", self.state.channel, release.version)
        except GoniError:
            await self._tell(self._here(), PROVED)
            raise
        written = replace(
            self.state,
            pending=str(release.version),
            pending_boot=offers.text(BOOT_ID),
            trouble="",
        )
        self.keep(written.after(Event(self._at(), "written", str(release.version))))

    async def _look(self, folder: Path | None, *, wanted: Version | None) -> Offer:
        try:
            found = await asyncio.to_thread(
                offers.look,
                self.places,
                self.state,
                self._peers,
                folder=folder,
                wanted=wanted,
                clock=self._clock(),
            )
        except GoniError as error:
            self.keep(replace(self.state, trouble=str(error)))
            raise
        seen = replace(self.state, checked=self._at(), trouble="").offering()
        if (release := found.release) is not None:
            seen = seen.offering(str(release.version), release.notes, release.urgency)
        self.keep(seen)
        return found

    async def _turn(self, number: Version, *, by_hand: bool) -> str:
        """Why this node has to wait for others of the household; empty when it hasn't to."""
        me, others = await self._household.members()
        return must_wait(me, others, number, now=self._clock(), by_hand=by_hand)

    async def _tell(self, number: Version, what: str) -> None:
        await self._household.tell(Report(number, what, self._clock()))

    async def _live(self, became: Event | None) -> None:
        """Tell the household what became of the last update; then watch."""
        if became:
            what = PROVED if became.what == "installed" else LEFT
            await self._tell(version.parse(became.version), what)
        await self.watch.run()

    async def _restart(self, *, now: bool, urgent: bool) -> None:
        """Wait for a good moment; an urgent version doesn't wait for the night."""
        if not now:
            await quiet.moment(self._clock, self._quiet, urgent=urgent)
        log.info("restarting into the other version")
        self._errands.restart()

    def _quiet(self) -> quiet.Hours | None:
        """When this node may restart by itself; never while updates are paused."""
        if self.state.paused:
            return None
        return quiet.Hours(self.state.quiet_from, self.state.quiet_until)

    def _at(self) -> str:
        return self._clock().isoformat(timespec="seconds")


def places() -> Places:
    """Where things are on this node."""
    return Places(paths.state_dir("update"), image=serve.opened("usr"))
