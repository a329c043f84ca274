"""What has been answered so far, kept on the disk as it is given.

One JSON file, replaced atomically: a power cut or a phone that fell asleep loses nothing that a
page took. Passwords and keys are not among the answers; they go where they belong at once, and what
a later step needs of them is in memory only.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goni_core import fields, files
from goni_core.errors import BadInput
from goni_firstboot import texts

log = logging.getLogger(__name__)

FILE = "answers.json"
LIMIT = 64 << 10
LONGEST = 200
MOST_STEPS = 50


@dataclass(frozen=True)
class Answers:
    """Each step's answer, empty where there is none. ``answered`` and ``skipped`` name steps."""

    language: str = ""
    time_zone: str = ""
    node_name: str = ""
    wifi: str = ""
    """The wireless network that was joined; its password is iwd's."""
    household: str = ""
    """The name of the one to begin; empty while none was asked for."""
    owner_name: str = ""
    model: str = ""
    """What was chosen, in words for the summary."""
    recovery: bool = False
    """The recovery key was shown, and somebody showed that they have it."""
    answered: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def answering(self, step: str) -> Answers:
        """These answers with ``step`` among those that were answered."""
        left = tuple(name for name in self.skipped if name != step)
        done = (*(name for name in self.answered if name != step), step)
        return replace(self, answered=done, skipped=left)

    def skipping(self, step: str) -> Answers:
        """These answers with ``step`` passed over; what it was answered before stays as it is."""
        if step in self.answered or step in self.skipped:
            return self
        return replace(self, skipped=(*self.skipped, step))

    def reopening(self, step: str) -> Answers:
        """These answers with ``step`` to be asked again."""
        return replace(
            self,
            answered=tuple(name for name in self.answered if name != step),
            skipped=tuple(name for name in self.skipped if name != step),
        )

    def restarted(self) -> Answers:
        """These answers after a power cut: a household whose code nobody has confirmed has to be
        begun anew, for which the owner's password is needed again.
        """
        lost = self.household and not self.passed("recovery")
        return self.reopening("owner") if lost else self

    def passed(self, step: str) -> bool:
        return step in self.answered or step in self.skipped


def parse(data: bytes) -> Answers:
    """The answers in ``data`` (JSON); :class:`BadInput` names the bad field."""
    if len(data) > LIMIT:
        raise BadInput("the answers are too long")
    found = fields.parse(data)
    known = {one.name: one for one in dataclasses.fields(Answers)}
    fields.only(found, known)
    return Answers(**{name: _value(found, name, known[name].default) for name in found})


def _value(found: fields.Object, name: str, default: Any) -> Any:
    if isinstance(default, bool):
        return fields.flag(found, name)
    if isinstance(default, str):
        return fields.text(found, name, longest=LONGEST, default="")
    value = found[name]
    if not isinstance(value, list) or len(value) > MOST_STEPS:
        raise BadInput(f"{name} must be a list of steps", code="bad_type")
    return tuple(fields.text({name: one}, name, longest=LONGEST) for one in value)


@dataclass(frozen=True)
class Preseeded:
    """What came on the stick, for somebody to confirm; ``trouble`` is what went wrong with it."""

    answers: Answers
    trouble: str = ""


def preseeded(path: Path) -> Preseeded:
    """The answers in ``path``, as ``goni_core.contract`` describes it; none where it isn't there
    or can't be read.
    """
    try:
        found = fields.parse(path.read_bytes()[:LIMIT])
        name, owner, language, trouble = (
            fields.text(found, one, longest=LONGEST, default="")
            for one in ("node_name", "owner", "language", "trouble")
        )
    except FileNotFoundError:
        return Preseeded(Answers())
    except (OSError, BadInput) as error:
        log.warning("the answers of the stick can't be read: %s", error)
        return Preseeded(Answers())
    known = texts.lookup(language, texts.languages())
    return Preseeded(Answers(language=known, node_name=name, owner_name=owner), trouble)


class Store:
    """The answers of this node in ``folder``; before there are any, those in ``given``."""

    def __init__(self, folder: Path, given: Answers | None = None) -> None:
        self._path = folder / FILE
        self._given = given or Answers()
        folder.mkdir(parents=True, exist_ok=True)
        files.sweep(folder)
        self.answers = self._read()

    @property
    def language(self) -> str:
        """The language that was chosen, English before."""
        chosen = self.answers.language
        return chosen if chosen in texts.languages() else texts.DEFAULT

    def keep(self, answers: Answers) -> None:
        """On the disk when this returns."""
        if answers == self.answers:
            return
        files.write(self._path, json.dumps(dataclasses.asdict(answers)).encode())
        self.answers = answers

    def _read(self) -> Answers:
        """An unreadable file means questions again, and never a node that can't be set up."""
        try:
            return parse(self._path.read_bytes())
        except FileNotFoundError:
            return self._given
        except (OSError, BadInput) as error:
            log.warning("the earlier answers can't be read: %s", error)
            return Answers()
