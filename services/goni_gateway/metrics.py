"""Numbers for the owner's Prometheus, per model: waits, first tokens, speed, queues, memory.

Counts only: no person, no request. What the engine knows (memory, slots) is asked for at each
look; the rest is noted while answers pass by, from llama-server's own ``timings`` where it gives
any. https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from goni_core import fields
from goni_gateway import sse
from goni_gateway.turns import Lines

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SPEEDS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 200, 500, 1000)
_STATS = {
    "memory": ("goni_model_memory_bytes", "Memory that the loaded model takes"),
    "slots": ("goni_model_slots", "Answers that the model computes at once"),
    "busy": ("goni_model_busy_slots", "Answers that it computes now"),
}
"""Fields of the engine's stats, the gauge that each becomes, and its words."""


class Metrics:
    """What was seen since the start."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

        def histogram(name: str, words: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, words, ["model"], buckets=buckets, registry=self._registry)

        self._waits = histogram("goni_queue_wait_seconds", "Wait for a turn at the model", SECONDS)
        self._firsts = histogram(
            "goni_first_token_seconds", "From joining the line to the first token", SECONDS
        )
        self._speeds = histogram(
            "goni_tokens_per_second", "Speed of an answer, once it was begun", SPEEDS
        )
        self._tokens = Counter(
            "goni_tokens", "Tokens computed", ["model", "kind"], registry=self._registry
        )

    def waited(self, model: str, seconds: float) -> None:
        self._waits.labels(model).observe(seconds)

    def meter(self, model: str, joined: float) -> Meter:
        """A meter for one answer whose request joined the line at ``joined`` (monotonic)."""
        return Meter(self, model, joined)

    def first(self, model: str, seconds: float) -> None:
        self._firsts.labels(model).observe(seconds)

    def computed(self, model: str, timings: dict[str, Any]) -> None:
        """Note llama-server's account of one answer."""
        for kind, name in (("prompt", "prompt_n"), ("generated", "predicted_n")):
            if _is_number(timings.get(name)):
                self._tokens.labels(model, kind).inc(timings[name])
        if _is_number(timings.get("predicted_per_second")):
            self._speeds.labels(model).observe(timings["predicted_per_second"])

    def text(self, lines: Lines, stats: Sequence[fields.Object]) -> bytes:
        """All of it in Prometheus' text format."""
        now = CollectorRegistry()
        now.register(_Now(lines, stats))
        return generate_latest(self._registry) + generate_latest(now)


class Meter:
    """Looks at one answer as it passes: when its first token comes, and what it took."""

    def __init__(
        self, metrics: Metrics, model: str, joined: float, clock: Callable[[], float] | None = None
    ) -> None:
        self._metrics = metrics
        self._model = model
        self._joined = joined
        self._clock = clock or time.monotonic
        self._begun = False

    def block(self, block: bytes) -> None:
        """Some events of a streamed answer. Only the first few and the last are looked into."""
        if self._begun and b'"timings"' not in block:
            return
        for data in sse.events(block):
            self._event(sse.parsed(data))

    def _event(self, chunk: dict[str, Any]) -> None:
        if not self._begun and sse.speaks(chunk):
            self._begun = True
            self._metrics.first(self._model, self._clock() - self._joined)
        self.whole(chunk)

    def whole(self, answer: dict[str, Any]) -> None:
        """An answer that came in one piece."""
        if isinstance(timings := answer.get("timings"), dict):
            self._metrics.computed(self._model, timings)


class _Now(Collector):
    """The state at one moment."""

    def __init__(self, lines: Lines, stats: Sequence[fields.Object]) -> None:
        self._lines = lines
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "goni_queue_waiting", "Requests that wait for a turn", labels=["model"]
        )
        running = GaugeMetricFamily(
            "goni_queue_running", "Requests that have their turn", labels=["model"]
        )
        for model, turns in sorted(self._lines.all().items()):
            waiting.add_metric([model], turns.waiting)
            running.add_metric([model], turns.running)
        yield from (waiting, running)
        for field, (name, words) in _STATS.items():
            family = GaugeMetricFamily(name, words, labels=["model"])
            for entry in self._stats:
                if _is_number(entry.get(field)):
                    family.add_metric([str(entry.get("id"))], entry[field])
            yield family


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
