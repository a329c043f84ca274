"""This node's part in its household, beside the door: its accounts follow the roster's.

Every :data:`LOOK_S` the roster's digest is compared; what is new there is taken over, what is new
here is told. Nothing of it is lost by a restart of either side.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from goni_core import fields
from goni_core.errors import GoniError
from goni_core.http import ANSWER_TIMEOUT, Service
from goni_gateway import accounts, people
from goni_gateway.database import Database

log = logging.getLogger(__name__)

LOOK_S = 2.0
MOST_FIELDS = 8192


class Household:
    """Keeps the accounts in ``database`` in step with ``mesh``; ``rag`` has people's documents."""

    def __init__(self, database: Database, mesh: Service, rag: Service) -> None:
        self._database = database
        self._mesh = mesh
        self._rag = rag
        self._found: dict[str, object] = {}
        self._id = self._digest = ""
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow the roster from now on."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Make both sides one, now; errors are the services' own. Outside a household there is
        nothing to do.
        """
        async with self._turn:
            if await self._read():
                say = await self._database.do(accounts.settle, self._id, self._found)
                for key, value in say:
                    await self._mesh.call("PUT", f"/fields/{key}", json={"value": value})
                    await self._database.do(accounts.note, key, value)
                await self._finish_removals()

    async def change_password(self, old: str, new: str) -> None:
        """The owner's word opens with ``new`` from now on, if it did with ``old``: another owner's
        password leaves it as it is.
        """
        if not await self._database.do(accounts.household):
            return
        try:
            await self._mesh.call("PUT", "/password", json={"password": old, "new": new})
        except GoniError as error:
            if error.code not in ("wrong_password", "no_household", "removed"):
                raise

    async def _read(self) -> bool:
        """Bring :attr:`_found` up to date; false outside a household."""
        try:
            said = await self._mesh.call("GET", "/fields", params={"unlike": self._digest})
        except GoniError as error:
            if error.status == 409:
                return False
            raise
        if said.get("fields") is not None:
            listed = fields.objects(said, "fields", most=MOST_FIELDS)
            named = {fields.text(one, "name", longest=300): one.get("value") for one in listed}
            self._found = {key: one for key, one in named.items() if key.startswith("person/")}
        self._id = fields.text(said, "household", longest=64)
        self._digest = fields.text(said, "digest", longest=64)
        return True

    async def _finish_removals(self) -> None:
        for person in await self._database.do(accounts.leaving):
            await self._rag.call("DELETE", f"/owners/{person}", timeout=ANSWER_TIMEOUT)
            await self._database.do(people.remove, person)
            log.info("person %s was removed", person)

    async def _keep(self) -> None:
        said = ""
        while True:
            try:
                await self.look()
                said = ""
            except GoniError as error:
                if error.code != said:
                    log.warning("the accounts are not in step: %s", error.message)
                said = error.code
            except Exception:
                # A bug in one pass must not end the following ones.
                log.exception("the accounts are not in step: a bug")
            await asyncio.sleep(LOOK_S)
