"""A household: begin a new one, or join one that is there.

A new one is begun in the owner's step, with the password that opens its keys. To join, this node
shows a PIN that is typed on a node of the household, or takes a code that one of those has made;
then its people are the household's, and nothing more is asked here.
"""

from __future__ import annotations

from dataclasses import replace

from goni_core.errors import GoniError
from goni_core.http import Service
from goni_firstboot import membership
from goni_firstboot.membership import Standing
from goni_firstboot.step import Again, Finished, Form, Outcome, Step, Values, Visit

LONGEST = 60
LONGEST_ADDRESS = 260
LONGEST_CODE = 40


class Household(Step):
    name = "household"
    skippable = True

    def __init__(self, mesh: Service) -> None:
        self._mesh = mesh
        self._joining = False

    async def show(self, visit: Visit) -> Values:
        now = await self._standing()
        return {
            "household": visit.answers.household or visit.texts("household.suggested"),
            "joining": self._joining,
            "pin": now.pin,
            "nearby": await membership.inviting(self._mesh) if self._joining else [],
        }

    async def take(self, visit: Visit, form: Form) -> Outcome:
        if (await self._standing()).joined:
            return Finished()
        action = form.get("action", "")
        if action == "pin":
            await membership.offer(self._mesh)
            return Again(status=200)
        if action == "code":
            return await self._join(form)
        self._joining = action == "join" or (action == "look" and self._joining)
        if action in ("join", "look", "new"):
            return Again(status=200)
        name = " ".join(form.get("household", "").split())
        if not name or len(name) > LONGEST or not name.isprintable():
            return Again({"household": "household_bad"}, {"household": name})
        if name == visit.answers.household:
            return visit.answers
        # The owner's password begins it.
        return replace(visit.answers.reopening("owner"), household=name)

    async def _join(self, form: Form) -> Outcome:
        address, code = form.get("address", "").strip(), form.get("code", "").strip()
        typed = {"address": address}
        if not 1 <= len(address) <= LONGEST_ADDRESS:
            return Again({"address": "address_missing"}, typed)
        if not 1 <= len(code) <= LONGEST_CODE:
            return Again({"code": "code_missing"}, typed)
        try:
            await membership.join(self._mesh, address, code)
        except GoniError as error:
            if error.status in (403, 404, 429) or error.code == "peer_unavailable":
                fault = FAULTS.get(error.code, "code_wrong")
                return Again({"address" if fault == "code_nobody" else "code": fault}, typed)
            raise
        return Finished()

    async def _standing(self) -> Standing:
        try:
            return await membership.standing(self._mesh)
        except GoniError:
            return Standing(joined=False)


FAULTS = {
    "peer_unavailable": "code_nobody",
    "no_offer": "code_nobody",
    "locked": "code_locked",
    "wait": "code_wait",
}
"""What the other node said, as a text's key."""
