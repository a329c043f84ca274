"""What was chosen, what protects the node and what doesn't; then it belongs to its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from goni_firstboot.protection import Protection
from goni_firstboot.step import Finished, Form, Outcome, Step, Values, Visit


class Summary(Step):
    """``look`` says what protects the node."""

    name = "summary"

    def __init__(self, look: Callable[[], tuple[Protection, ...]]) -> None:
        self._look = look

    async def show(self, visit: Visit) -> Values:
        return {"protections": await asyncio.to_thread(self._look)}

    async def take(self, visit: Visit, form: Form) -> Outcome:
        return Finished()
