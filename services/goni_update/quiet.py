"""When the node may restart by itself: in the household's quiet hours, and never in an answer."""

from __future__ import annotations

from datetime import datetime

from goni_core import fields, http, paths
from goni_core.errors import GoniError

MOST_MODELS = 1000


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
