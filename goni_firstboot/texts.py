"""The wizard's words: one YAML file per language, every text under a dotted key.

A key that isn't there is a bug and a KeyError; a file that can't be parsed never ships, because the
tests read every one.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml


class Texts:
    """One language's catalogue: ``texts("pin.wrong_many", tries=3)``."""

    def __init__(self, language: str, catalogue: Mapping[str, str]) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, key: str, **values: object) -> str:
        """The text under ``key`` with ``values`` filled in."""
        return self._catalogue[key].format(**values)

    def keys(self) -> frozenset[str]:
        return frozenset(self._catalogue)

    def duration(self, seconds: int) -> str:
        """``seconds`` in words: seconds below two minutes, then minutes, rounded up."""
        count, unit = (seconds, "second") if seconds < 120 else (-(-seconds // 60), "minute")
        return self(f"time.{unit}") if count == 1 else self(f"time.{unit}s", count=count)


def load(language: str = "en") -> Texts:
    """The catalogue of ``language``, from the package's own files."""
    source = resources.files("goni_firstboot") / "texts" / f"{language}.yaml"
    return Texts(language, dict(_flat("", yaml.safe_load(source.read_text("utf-8")))))


def _flat(prefix: str, node: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in node.items():
        if isinstance(value, str):
            found.append((prefix + key, value))
        elif isinstance(value, dict):
            found += _flat(f"{prefix}{key}.", value)
        else:
            raise TypeError(f"the text {prefix}{key} is not a string")
    return found
