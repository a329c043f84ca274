"""The wizard's words: one YAML file per language below ``texts/``, every text under a dotted key.

Another language is another file with the same keys; nothing else has to be touched. A key that
isn't there is a bug and a KeyError; a file that can't be parsed never ships, because the tests read
every one.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from typing import Any

import yaml

DEFAULT = "en"
LONGEST_HEADER = 500


class Texts:
    """One language's catalogue: ``texts("pin.wrong_many", tries=3)``."""

    def __init__(self, language: str, catalogue: Mapping[str, str]) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, key: str, **values: object) -> str:
        """The text under ``key`` with ``values`` filled in."""
        return self._catalogue[key].format(**values)

    def __contains__(self, key: str) -> bool:
        return key in self._catalogue

    def keys(self) -> frozenset[str]:
        return frozenset(self._catalogue)

    def raw(self, key: str) -> str:
        """The text as it stands in the file, with its places for values."""
        return self._catalogue[key]

    def duration(self, seconds: int) -> str:
        """``seconds`` in words: seconds below two minutes, then minutes, rounded up."""
        count, unit = (seconds, "second") if seconds < 120 else (-(-seconds // 60), "minute")
        return self(f"time.{unit}") if count == 1 else self(f"time.{unit}s", count=count)

    def size(self, size: int) -> str:
        """``size`` bytes in words, in powers of ten as shops count."""
        if size < 10**9:
            return self("size.mb", count=-(-size // 10**6))
        return self("size.gb", count=f"{size / 10**9:.1f}".replace(".", self("size.point")))


@functools.cache
def languages() -> tuple[str, ...]:
    """The languages that there are files for, as BCP 47 tags."""
    folder = resources.files("goni_firstboot") / "texts"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@functools.cache
def load(language: str = DEFAULT) -> Texts:
    """The catalogue of ``language``, from the package's own files."""
    source = resources.files("goni_firstboot") / "texts" / f"{language}.yaml"
    return Texts(language, dict(_flat("", yaml.safe_load(source.read_text("utf-8")))))


def preferred(header: str, known: Collection[str]) -> str:
    """The language of ``known`` that an Accept-Language header asks for (RFC 9110, section 12.5.4),
    by RFC 4647's lookup: ``de-AT`` finds ``de``. English when it asks for none of them.
    """
    found = (lookup(wanted, known) for wanted in ranges(header))
    return next((one for one in found if one), DEFAULT)


def lookup(wanted: str, known: Collection[str]) -> str:
    """The language of ``known`` that is closest to the tag ``wanted``; "" when there is none."""
    by_tag = {tag.lower(): tag for tag in known}
    tag = wanted.lower()
    while tag and tag not in by_tag:
        tag = tag.rpartition("-")[0]
    return by_tag.get(tag, "")


def ranges(header: str) -> list[str]:
    """The language ranges of an Accept-Language header, most wanted first."""
    found = []
    for part in header[:LONGEST_HEADER].split(","):
        tag, *parameters = (piece.strip() for piece in part.split(";"))
        weight = _weight(parameters)
        if tag and weight > 0:
            found.append((weight, tag))
    return [tag for _, tag in sorted(found, key=lambda one: -one[0])]


def _weight(parameters: list[str]) -> float:
    given = next((one[2:] for one in parameters if one.startswith("q=")), "1")
    try:
        return float(given)
    except ValueError:
        return 0.0


def _flat(prefix: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, str):
            yield prefix + key, value
        elif isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            raise TypeError(f"the text {prefix}{key} is not a string")
