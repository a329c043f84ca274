"""Metrics: what a meter takes from an answer, and what the engine's numbers become."""

from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families

from goni_gateway import sse
from goni_gateway.metrics import Meter, Metrics
from goni_gateway.turns import Lines, Station


def samples(metrics: Metrics, lines: Lines, stats: list[dict[str, object]]) -> dict[str, float]:
    text = metrics.text(lines, stats).decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("model") == "m" and "le" not in sample.labels
    }


def event(delta: dict[str, object], **more: object) -> bytes:
    return sse.event(json.dumps({"choices": [{"delta": delta}], **more}).encode())


def test_the_first_token_is_the_first_text_and_counts_once() -> None:
    metrics, times = Metrics(), iter([3.5, 9.0])
    meter = Meter(metrics, "m", 1.0, lambda: next(times))
    meter.block(event({"role": "assistant", "content": None}))
    assert "goni_first_token_seconds_count" not in samples(metrics, Lines(), [])
    meter.block(event({"content": "a"}) + event({"content": "b"}))
    meter.block(event({"content": "c"}))
    meter.block(event({}, timings={"predicted_n": 2, "predicted_per_second": 40.0}))
    meter.block(sse.event(b"[DONE]"))
    found = samples(metrics, Lines(), [])
    assert found["goni_first_token_seconds_count"] == 1
    assert found["goni_first_token_seconds_sum"] == 2.5
    assert found["goni_tokens_per_second_sum"] == 40
    assert found["goni_tokens_total"] == 2


def test_odd_timings_of_an_engine_harm_nothing() -> None:
    metrics = Metrics()
    meter = metrics.meter("m", 0.0)
    for timings in (
        None,
        5,
        {},
        {"prompt_n": "x", "predicted_per_second": None},
        {"prompt_n": True},
    ):
        meter.whole({"timings": timings})
        meter.block(event({}, timings=timings))
    assert samples(metrics, Lines(), []) == {}


def test_lines_and_the_engines_numbers_are_gauges() -> None:
    metrics = Metrics()
    lines = Lines(metrics.waited)
    for _ in range(3):
        lines.at("m", [Station(slots=1)]).join("ada")
    stats: list[dict[str, object]] = [
        {"id": "m", "memory": 1 << 30, "slots": 4, "busy": None, "waiting": 0}
    ]
    found = samples(metrics, lines, stats)
    assert found["goni_queue_waiting"] == 2
    assert found["goni_queue_running"] == 1
    assert found["goni_queue_wait_seconds_count"] == 1
    assert found["goni_model_memory_bytes"] == 1 << 30
    assert found["goni_model_slots"] == 4
    assert "goni_model_busy_slots" not in found
