"""The owner's account. The gateway gets name and password at once, and keeps the password hashed;
here it stays in memory for steps that need the owner's word, and never goes back to the browser.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from goni_core.http import Service
from goni_firstboot import membership
from goni_firstboot.step import Again, Form, Outcome, Step, Values, Visit

OWNER_LONGEST = 60
PASSWORD_LEAST = 8
PASSWORD_LONGEST = 200


class Owner(Step):
    name = "owner"

    def __init__(self, gateway: Service, mesh: Service) -> None:
        self._gateway = gateway
        self._mesh = mesh

    async def show(self, visit: Visit) -> Values:
        return {
            "owner_name": visit.answers.owner_name,
            "kept": self.name in visit.answers.answered,
            "least": PASSWORD_LEAST,
            "longest_name": OWNER_LONGEST,
            "longest_password": PASSWORD_LONGEST,
        }

    async def take(self, visit: Visit, form: Form) -> Outcome:
        name = " ".join(unicodedata.normalize("NFC", form.get("owner_name", "")).split())
        password, again = form.get("password", ""), form.get("password_again", "")
        if self._unchanged(visit, name, password + again):
            return visit.answers
        if found := faults(name, password, again):
            return Again(found, {"owner_name": name})
        await self._gateway.call("PUT", "/setup/owner", json={"name": name, "password": password})
        visit.memory.password = password
        answers = replace(visit.answers, owner_name=name)
        if not answers.household:
            return answers
        about = answers.household, answers.node_name
        visit.memory.household = await membership.begin(self._mesh, *about, password)
        return answers.reopening("recovery")

    def _unchanged(self, visit: Visit, name: str, typed: str) -> bool:
        """Whether somebody only passes through again."""
        known = self.name in visit.answers.answered
        return known and not typed and name == visit.answers.owner_name


def faults(name: str, password: str, again: str) -> Mapping[str, str]:
    """What is wrong, by field."""
    found = {
        "owner_name": owner_fault(name),
        "password": password_fault(password),
        "password_again": again_fault(password, again),
    }
    return {field: fault for field, fault in found.items() if fault}


def owner_fault(name: str) -> str:
    if not name:
        return "owner_name_missing"
    if len(name) > OWNER_LONGEST:
        return "owner_name_long"
    return "owner_name_bad" if _unprintable(name) else ""


def password_fault(password: str) -> str:
    if not password:
        return "password_missing"
    if len(password) < PASSWORD_LEAST:
        return "password_short"
    if len(password) > PASSWORD_LONGEST:
        return "password_long"
    return "password_bad" if _unprintable(password) else ""


def again_fault(password: str, again: str) -> str:
    if not again:
        return "password_again_missing" if password else ""
    return "" if password == again else "password_again_differs"


def _unprintable(text: str) -> bool:
    """Control, format and unassigned characters: nobody types them on purpose."""
    return any(unicodedata.category(character)[0] == "C" for character in text)
