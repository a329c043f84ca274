"""What the service has the writer do, which is root: a request file, and its word in return."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

from goni_core import fields, files
from goni_core.errors import BadInput, GoniError, Unavailable
from goni_update.version import Version

LOOK_S = 0.2
WRITER_S = 3600.0


class Errands:
    """Requests in ``folder``, results in ``run``."""

    def __init__(self, folder: Path, run: Path) -> None:
        self._folder = folder
        self._run = run

    async def do(self, action: str, channel: str, number: Version | None = None) -> None:
        """Have it done; :class:`GoniError` with the writer's words when it can't be."""
        key = secrets.token_hex(16)
        asked = {"id": key, "action": action, "channel": channel}
        if number is not None:
            asked["version"] = str(number)
        files.write(self._folder / "request.json", json.dumps(asked).encode(), mode=0o644)
        try:
            async with asyncio.timeout(WRITER_S):
                result = await self._result(key)
        except TimeoutError as error:
            raise Unavailable("the writer of updates doesn't answer") from error
        if not fields.flag(result, "ok"):
            raise GoniError(fields.text(result, "words", longest=10_000), code="write_failed")

    def restart(self) -> None:
        """Ask for a restart of the machine."""
        files.write(self._folder / "restart", b"now\n", mode=0o644)

    async def _result(self, key: str) -> fields.Object:
        while True:
            try:
                result = fields.parse((self._run / "result.json").read_bytes())
                if result.get("id") == key:
                    return result
            except (OSError, BadInput):
                pass
            await asyncio.sleep(LOOK_S)
