"""A step of the setup: one question, its page, and what its answer does.

A step is a module below ``steps``, a template ``steps/<name>.html`` and texts under ``<name>.``.
It is shown with :meth:`Step.show` and answered with :meth:`Step.take`, which makes the answer true
(asks a service, writes a file) before it returns it; the wizard then keeps it. Everything a step
does may happen again after a power cut, so it has to be repeatable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from goni_core.http import Service
from goni_firstboot.answers import Answers
from goni_firstboot.texts import Texts

Form = Mapping[str, str]
Values = Mapping[str, object]


@dataclass(frozen=True)
class Services:
    """The node's services that steps ask, each at its socket."""

    gateway: Service
    engine: Service
    mesh: Service
    install: Service

    async def close(self) -> None:
        for one in (self.gateway, self.engine, self.mesh, self.install):
            await one.close()


@dataclass
class Memory:
    """What steps hand on to later ones and no disk ever sees; a power cut empties it.

    ``password`` is the owner's, for founding a household; ``recovery`` the disk's recovery key and
    ``household`` the household's, until somebody showed that they have written them down;
    ``trouble`` is what went wrong with the answers on the stick.
    """

    password: str = field(default="", repr=False)
    recovery: str = field(default="", repr=False)
    household: str = field(default="", repr=False)
    trouble: str = ""


@dataclass(frozen=True)
class Visit:
    """Somebody at a step: what was answered so far, the language, and what their browser prefers
    (its Accept-Language).
    """

    answers: Answers
    texts: Texts
    memory: Memory
    prefers: str = ""


@dataclass(frozen=True)
class Again:
    """The step's page once more: ``faults`` are text keys by field, ``typed`` what stands in the
    fields, ``status`` the HTTP status (200: nothing was wrong, there is just more to see).
    """

    faults: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)
    status: int = 400


class Finished:
    """The last step's answer: set this node up now."""


Outcome = Answers | Again | Finished
Extra = Callable[[Visit, Request], Awaitable[Response]]


class Step(ABC):
    """One step. ``name`` is its address, template and texts; ``skippable``: it may be left out."""

    name: str
    skippable = False

    @abstractmethod
    async def show(self, visit: Visit) -> Values:
        """What the template needs beside the answers. It may not fail for want of a service: a
        page that explains is better than none.
        """

    @abstractmethod
    async def take(self, visit: Visit, form: Form) -> Outcome:
        """Do what the form says; :class:`GoniError` when it can't be done."""

    def extras(self) -> Mapping[str, Extra]:
        """More addresses below the step's, such as its progress, by name."""
        return {}
