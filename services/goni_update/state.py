"""What the update service remembers: settings, what it waits for, what happened.

One small JSON file, replaced atomically. What can't be read starts anew: nothing in it is needed to
boot, and protection against old versions is ``trust``'s own.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from goni_core import fields, files
from goni_core.errors import BadInput, GoniError
from goni_update import catalog, slots, version
from goni_update.slots import Slots
from goni_update.version import Version

log = logging.getLogger(__name__)

MOST_EVENTS = 200
LIMIT = 1 << 20


@dataclass(frozen=True)
class Event:
    """Something that happened to ``version`` at ``at`` (ISO 8601): ``installed``, ``written``,
    ``failed``, ``rolled back``; ``words`` say why.
    """

    at: str
    what: str
    version: str
    words: str = ""


@dataclass(frozen=True)
class State:
    """``quiet`` is when the node may restart by itself, as hours of the day; ``pending`` the
    version that was written, in the boot ``pending_boot``, and hasn't proved itself yet.
    """

    channel: str = "stable"
    paused: bool = False
    quiet_from: int = 2
    quiet_until: int = 5
    checked: str = ""
    offered: str = ""
    notes: str = ""
    urgency: str = ""
    trouble: str = ""
    pending: str = ""
    pending_boot: str = ""
    events: tuple[Event, ...] = ()

    def offering(self, version: str = "", notes: str = "", urgency: str = "") -> State:
        """With what the last look found; nothing without words."""
        return replace(self, offered=version, notes=notes, urgency=urgency)

    def after(self, event: Event) -> State:
        return replace(self, events=(event, *self.events)[:MOST_EVENTS])

    @property
    def failed(self) -> frozenset[Version]:
        """Versions that failed or were left here: they aren't tried again unless somebody says
        so, which the next success forgives.
        """
        newest: dict[str, str] = {}
        for event in reversed(self.events):
            if event.what in ("failed", "rolled back", "installed"):
                newest[event.version] = event.what
        return frozenset(version.parse(one) for one, what in newest.items() if what != "installed")


def load(path: Path) -> State:
    """The state in ``path``; a new one when there is none that can be read."""
    try:
        data = path.read_bytes()
        if len(data) > LIMIT:
            raise BadInput("too long")
        return parse(data)
    except FileNotFoundError:
        return State()
    except (OSError, GoniError) as error:
        log.warning("the update state is new, as the old one can't be read: %s", error)
        return State()


def save(state: State, path: Path) -> None:
    files.write(path, json.dumps(dataclasses.asdict(state)).encode(), mode=0o644)


def parse(data: bytes) -> State:
    """A state; :class:`BadInput` names the field that is wrong."""
    whole = fields.parse(data)
    return State(
        channel=fields.text(whole, "channel", longest=20),
        paused=fields.flag(whole, "paused"),
        quiet_from=fields.integer(whole, "quiet_from", least=0, most=23),
        quiet_until=fields.integer(whole, "quiet_until", least=0, most=23),
        checked=fields.text(whole, "checked", default=""),
        offered=_version(whole, "offered"),
        notes=fields.text(whole, "notes", longest=20_000, default=""),
        urgency=fields.text(whole, "urgency", default=""),
        trouble=fields.text(whole, "trouble", longest=10_000, default=""),
        pending=_version(whole, "pending"),
        pending_boot=fields.text(whole, "pending_boot", default=""),
        events=tuple(_event(one) for one in fields.objects(whole, "events", most=MOST_EVENTS)),
    )


def changed(state: State, settings: fields.Object) -> State:
    """With other settings; :class:`BadInput` names the one that is wrong. What another channel
    offered is forgotten.
    """
    fields.only(settings, ("channel", "paused", "quiet_from", "quiet_until"))
    channel = fields.text(settings, "channel", default=state.channel)
    if channel not in catalog.CHANNELS:
        raise BadInput(f"there is no channel {channel[:40]!r}", hint="stable or beta")
    made = replace(
        state,
        channel=channel,
        paused=fields.flag(settings, "paused", default=state.paused),
        quiet_from=_hour(settings, "quiet_from", state.quiet_from),
        quiet_until=_hour(settings, "quiet_until", state.quiet_until),
    )
    return made if channel == state.channel else made.offering()


def _hour(settings: fields.Object, name: str, now: int) -> int:
    return fields.integer(settings, name, least=0, most=23, default=now)


def settle(state: State, found: Slots, *, boot: str, health: bytes, at: str) -> State:
    """What became of a version that was written, seen from this ``boot`` (its id). ``health`` is
    the last failed health report.
    """
    if not state.pending or state.pending_boot == boot or not found.slots:
        return state
    number = version.parse(state.pending)
    slot = found.of(number)
    if found.running != number:
        event = Event(at, "failed", state.pending, reason(health, number, slot is not None))
    elif slot is not None and slot.state == slots.GOOD:
        event = Event(at, "installed", state.pending)
    else:
        return state  # it runs and is still on trial
    return replace(state, pending="", pending_boot="").after(event)


def reason(health: bytes, number: Version, there: bool) -> str:
    """Why ``number`` was left, in words, from the last failed health report."""
    if not there:
        return "it is no longer on the disk"
    try:
        report = fields.parse(health)
        if fields.text(report, "version", default="") == str(number):
            checks = fields.objects(report, "checks", most=100)
            failed = [
                f"{fields.text(one, 'name')}: {fields.text(one, 'detail', default='')}"
                for one in checks
                if not fields.flag(one, "ok")
            ]
            return "; ".join(failed) or "its health check failed"
    except BadInput:
        pass
    return "it never got as far as its health check"


def _event(value: fields.Object) -> Event:
    return Event(
        fields.text(value, "at", longest=40),
        fields.text(value, "what", longest=20),
        _version(value, "version"),
        fields.text(value, "words", longest=10_000, default=""),
    )


def _version(value: fields.Object, name: str) -> str:
    text = fields.text(value, name, default="", longest=30)
    return str(version.parse(text)) if text else ""
