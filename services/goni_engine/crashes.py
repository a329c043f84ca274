"""Servers that ended by themselves, and how long to wait before each is started again."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from goni_engine.instance import Instance

log = logging.getLogger(__name__)

CALM_S = 300.0
"""A model that ran this long, or gave a whole answer, starts its back-off anew."""


@dataclass(frozen=True)
class Crash:
    """When a model's server last ended by itself, and how often in a row."""

    at: float
    times: int

    @property
    def pause(self) -> float:
        """Seconds to wait before the next start: 0.5, 1, 2 … 30. Whoever asks meanwhile waits, so
        it grows only for what ends again and again without having answered.
        """
        return float(min(0.5 * 2 ** (self.times - 1), 30.0))


class Crashes:
    """The last crash of each model."""

    def __init__(self) -> None:
        self._last: dict[str, Crash] = {}

    def note(self, model: str, instance: Instance) -> None:
        """``instance`` has ended by itself, or was ended because it hung."""
        now, before = time.monotonic(), self._last.get(model)
        calm = instance.answered or now - instance.since > CALM_S
        crash = Crash(now, 1 if calm or before is None else before.times + 1)
        self._last[model] = crash
        if not instance.watchdog.hung:
            log.error(
                "llama-server for %s ended by itself, %d in a row; starts again after %.1f s",
                model,
                crash.times,
                crash.pause,
            )

    def left(self, model: str) -> float:
        """Seconds until ``model`` may be started."""
        crash = self._last.get(model)
        return max(0.0, crash.at + crash.pause - time.monotonic()) if crash else 0.0

    def forget(self, model: str) -> None:
        self._last.pop(model, None)
