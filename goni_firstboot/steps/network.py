"""The network: a cable works by itself; a wireless network is chosen and joined through iwd."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from goni_core.errors import GoniError
from goni_firstboot import addresses, wifi
from goni_firstboot.step import Again, Form, Outcome, Step, Values, Visit

NAME_LONGEST = 32
"""Bytes of a network's name (IEEE 802.11, 9.4.2.2)."""


class Network(Step):
    name = "network"
    skippable = True

    def __init__(self) -> None:
        self._scanned = False

    async def show(self, visit: Visit) -> Values:
        # The first visit looks around; later ones show what is known until somebody asks again.
        networks = await asyncio.to_thread(wifi.look, scan=not self._scanned)
        self._scanned = True
        return {
            "addresses": await self._addresses(),
            "networks": networks,
            "joinable": (wifi.OPEN, wifi.PASSWORD),
        }

    async def take(self, visit: Visit, form: Form) -> Outcome:
        if form.get("action") == "scan":
            self._scanned = False
            return Again(status=200)
        name, password = form.get("wifi", ""), form.get("wifi_password", "")
        if not name:
            return visit.answers
        typed = {"wifi": name}
        if len(name.encode()) > NAME_LONGEST:
            return Again({"wifi": "wifi_missing"}, typed)
        if password and not wifi.PASSWORD_LEAST <= len(password) <= wifi.PASSWORD_LONGEST:
            return Again({"wifi_password": "wifi_password_length"}, typed)
        try:
            await asyncio.to_thread(wifi.join, name, password)
        except GoniError as error:
            if error.code in ("wifi_refused", "wifi_gone", "wifi_unsupported"):
                return Again({"wifi_password": error.code}, typed)
            raise
        return replace(visit.answers, wifi=name)

    async def _addresses(self) -> tuple[str, ...]:
        try:
            return await asyncio.to_thread(addresses.current)
        except GoniError:
            return ()
