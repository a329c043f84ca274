"""When the node may restart by itself: in the household's quiet hours, and never in an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from goni_core import fields, http, paths
from goni_core.errors import GoniError

MOST_MODELS = 1000
LOOK_S = 20.0


@dataclass(frozen=True)
class Hours:
    """From one hour of the day to another."""

    begin: int
    end: int


async def moment(
    clock: Callable[[], datetime], allowed: Callable[[], Hours | None], *, urgent: bool
) -> None:
    """Wait for the ``allowed`` hours (None: not at all) and for the last answer; what is ``urgent``
    doesn't wait for the night.
    """
    while True:
        now = allowed()
        good = now is not None and (urgent or hours(clock(), now.begin, now.end))
        if good and not await answering():
            return
        await asyncio.sleep(LOOK_S)


def hours(now: datetime, begin: int, end: int) -> bool:
    """Whether ``now`` is between the hours ``begin`` and ``end``, which may be on either side of
    midnight; equal hours mean always.
    """
    if begin == end:
        return True
    if begin < end:
        return begin <= now.hour < end
    return now.hour >= begin or now.hour < end


async def answering() -> int:
    """How many requests the engine works on or has waiting. An engine that doesn't answer has
    none.
    """
    engine = http.Service("the engine", paths.engine_socket())
    try:
        said = await engine.call("GET", "/stats", timeout=http.Timeout(10.0))
        return sum(
            fields.integer(one, name, least=0, most=1 << 31)
            for one in fields.objects(said, "models", most=MOST_MODELS)
            for name in ("busy", "waiting")
        )
    except GoniError:
        return 0
    finally:
        await engine.close()
