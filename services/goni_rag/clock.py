"""How much of a document's time is left."""

from __future__ import annotations

import time


class Clock:
    """Runs out ``seconds`` after it was made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, 0 when there are none."""
        return max(0.0, self._end - time.monotonic())
