"""What a llama-server has done so far, from its ``/metrics``: counts and times, no text.

Pure: the text of the page in, numbers out. Names: llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from goni_core.errors import GoniError

_PREFIX = "llamacpp:"


@dataclass(frozen=True)
class Figures:
    """Since the server's start; ``running`` is now. ``generating_s`` counts each slot's seconds,
    and so does ``reading_s``.
    """

    prompt_tokens: int
    generated_tokens: int
    generating_s: float
    decodes: int
    running: int
    reading_s: float = 0.0

    def moved(self, before: Figures) -> bool:
        """Whether anything was computed since ``before``."""
        return (self.decodes, self.prompt_tokens, self.generated_tokens) != (
            before.decodes,
            before.prompt_tokens,
            before.generated_tokens,
        )

    def speed_since(self, before: Figures) -> float | None:
        """Tokens per second of one answer since ``before``; None where too few tell anything."""
        tokens = self.generated_tokens - before.generated_tokens
        seconds = self.generating_s - before.generating_s
        return tokens / seconds if tokens >= ENOUGH and seconds > 0 else None

    def reading_speed_since(self, before: Figures) -> float | None:
        """Prompt tokens per second of one request since ``before``; None as above."""
        tokens = self.prompt_tokens - before.prompt_tokens
        seconds = self.reading_s - before.reading_s
        return tokens / seconds if tokens >= ENOUGH_READ and seconds > 0 else None


NOTHING = Figures(0, 0, 0.0, 0, 0)
ENOUGH = 8
"""Tokens from which a speed is computed."""
ENOUGH_READ = 64
"""The same for prompts: the shorter one is, the more its time is that of everything else."""


def parse(page: str) -> Figures:
    """The figures on a page in Prometheus' text format; :class:`GoniError` names one that is
    missing.
    """
    found: dict[str, float] = {}
    for line in page.splitlines():
        name, _, value = line.removeprefix(_PREFIX).partition(" ")
        if line.startswith(_PREFIX):
            try:
                found[name] = float(value)
            except ValueError:
                continue
    try:
        return Figures(
            prompt_tokens=_whole(found["prompt_tokens_total"]),
            generated_tokens=_whole(found["tokens_predicted_total"]),
            generating_s=found["tokens_predicted_seconds_total"],
            decodes=_whole(found["n_decode_total"]),
            running=_whole(found["requests_processing"]),
            reading_s=found["prompt_seconds_total"],
        )
    except KeyError as error:
        raise GoniError(f"llama-server's metrics lack {error.args[0]}") from error


def _whole(value: float) -> int:
    return int(value) if math.isfinite(value) else 0
