"""Typed getters for what comes from outside: each names the bad field in its error.

Used at every JSON and YAML boundary; the rest of the code only sees parsed, frozen values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from goni_core.errors import BadInput

Object = Mapping[str, Any]


def parse(data: bytes) -> Object:
    """A JSON object from ``data``; :class:`BadInput` when it is anything else, or holds what can't
    be written as JSON again (RFC 8259): NaN, infinities, halves of surrogate pairs.
    """
    try:
        value = json.loads(data, parse_constant=_refused, parse_float=_finite)
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadInput("the body is not JSON", code="bad_json") from error
    if not isinstance(value, dict):
        raise BadInput("the body is not a JSON object", code="bad_json")
    return value


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number out of range")
    return value


def only(fields: Object, known: Collection[str]) -> None:
    """Refuse keys that aren't in ``known``."""
    for key in fields:
        if key not in known:
            raise BadInput(f"unknown field {str(key)[:60]!r}", code="unknown_field")


def text(fields: Object, name: str, *, longest: int = 1000, default: str | None = None) -> str:
    """A non-empty string of at most ``longest`` characters."""
    value = fields.get(name, default)
    if value is None:
        raise BadInput(f"{name} is missing", code="missing_field")
    if not isinstance(value, str):
        raise BadInput(f"{name} must be a string", code="bad_type")
    if value == "" and default != "":
        raise BadInput(f"{name} is empty", code="missing_field")
    if len(value) > longest:
        raise BadInput(f"{name} is longer than {longest} characters", code="too_long")
    if "\x00" in value:
        raise BadInput(f"{name} holds a NUL character", code="bad_value")
    return value


def integer(fields: Object, name: str, *, least: int, most: int, default: int | None = None) -> int:
    """A whole number from ``least`` to ``most``."""
    value = fields.get(name, default)
    if value is None:
        raise BadInput(f"{name} is missing", code="missing_field")
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadInput(f"{name} must be a whole number", code="bad_type")
    if not least <= value <= most:
        raise BadInput(f"{name} must be from {least} to {most}", code="out_of_range")
    return value


def number(
    fields: Object, name: str, *, least: float, most: float, default: float | None = None
) -> float:
    """A finite number from ``least`` to ``most``."""
    value = fields.get(name, default)
    if value is None:
        raise BadInput(f"{name} is missing", code="missing_field")
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadInput(f"{name} must be a number", code="bad_type")
    if not least <= value <= most:
        raise BadInput(f"{name} must be from {least:g} to {most:g}", code="out_of_range")
    return float(value)


def flag(fields: Object, name: str, *, default: bool = False) -> bool:
    """A boolean."""
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise BadInput(f"{name} must be true or false", code="bad_type")
    return value


def objects(fields: Object, name: str, *, most: int) -> list[Object]:
    """A list of at most ``most`` JSON objects."""
    value = fields.get(name)
    if value is None:
        raise BadInput(f"{name} is missing", code="missing_field")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadInput(f"{name} must be a list of objects", code="bad_type")
    if len(value) > most:
        raise BadInput(f"{name} has more than {most} entries", code="too_long")
    return value
