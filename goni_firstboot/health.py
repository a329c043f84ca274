"""How the node is, for its screen once it is set up: what its services say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from goni_core import fields
from goni_core.errors import GoniError
from goni_core.http import Service
from goni_firstboot.texts import Texts

PATIENCE_S = 20.0
SHOWN = 60
"""Characters of what a service says that fit the screen."""


async def asked(services: Sequence[Service]) -> tuple[str, ...]:
    """What is wrong, a line each; nothing when every service is well."""
    said = await asyncio.gather(*(_asked(service) for service in services))
    return tuple(line for line in said if line)


def words(wrong: Sequence[str], texts: Texts) -> str:
    """One line for the screen."""
    return "; ".join(wrong) if wrong else texts("screen.well")


async def _asked(service: Service) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            said = await service.call("GET", "/health")
        if fields.flag(said, "ok"):
            return ""
        return f"{service.name}: {fields.text(said, 'words', default='')}"[:SHOWN]
    except GoniError as error:
        return error.message[:SHOWN]
    except TimeoutError:
        return f"{service.name} does not answer"
