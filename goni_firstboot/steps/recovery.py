"""The recovery key of the encrypted disk: made when asked for, shown until somebody shows that they
have it, then forgotten.

Until then it is in memory only, so that a reload shows it again; after a power cut a new one takes
its place. The household's own code, where one was founded, stands on the same sheet.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import replace

from goni_core import fields
from goni_core.errors import Conflict, GoniError
from goni_core.http import Service
from goni_firstboot.step import Again, Form, Outcome, Step, Values, Visit

KEY = re.compile(r"[cbdefghijklnrtuv]{8}(-[cbdefghijklnrtuv]{8}){7}")
"""As systemd-cryptenroll(1) writes recovery keys: 256 bits in modhex."""


class Recovery(Step):
    name = "recovery"
    skippable = True

    def __init__(self, install: Service) -> None:
        self._install = install

    async def show(self, visit: Visit) -> Values:
        sheet = visit.memory
        return {
            "groups": sheet.recovery.split("-") if sheet.recovery else [],
            "household": sheet.household,
            "possible": await self._possible(),
        }

    async def take(self, visit: Visit, form: Form) -> Outcome:
        if form.get("action") == "make":
            if not visit.memory.recovery:
                visit.memory.recovery = await self._made()
            return Again(status=200)
        wanted = visit.memory.recovery or visit.memory.household
        if not wanted:
            if await self._possible() and not visit.answers.recovery:
                return Again({"last": "not_made"})
            return visit.answers
        if not confirms(form.get("last", ""), wanted):
            return Again({"last": "last_differs"})
        visit.memory.recovery = visit.memory.household = ""
        return replace(visit.answers, recovery=True)

    async def _possible(self) -> bool:
        try:
            said = await self._install.call("GET", "/recovery")
        except GoniError:
            return False
        return fields.flag(said, "possible")

    async def _made(self) -> str:
        said = await self._install.call("POST", "/recovery", json={})
        key = fields.text(said, "key", longest=100)
        if not KEY.fullmatch(key):
            raise Conflict("the recovery key can't be read", code="bad_key")
        return key


def confirms(typed: str, key: str) -> bool:
    """Whether ``typed`` is the last group of ``key``, however it was written."""
    last = key.rpartition("-")[2].lower()
    given = re.sub(r"[\s-]", "", typed).lower()
    return hmac.compare_digest(given.encode(), last.encode())
