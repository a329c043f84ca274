"""Versions: two to four numbers with dots, ordered as numbers, the way systemd orders them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput

_FORM = re.compile(r"(0|[1-9]\d{0,5})(\.(0|[1-9]\d{0,5})){1,3}")
OS_RELEASE = Path("/usr/lib/os-release")


@dataclass(frozen=True, order=True)
class Version:
    """``0.10.0`` is above ``0.9.1``; ``0.9`` is below ``0.9.0``, as for strverscmp(3)."""

    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers))


def parse(text: str) -> Version:
    """The version that ``text`` says; :class:`BadInput` for anything else."""
    if len(text) > 30 or not _FORM.fullmatch(text):
        raise BadInput(
            f"{text[:40]!r} is not a version", hint="like 0.2.0: two to four numbers with dots"
        )
    return Version(tuple(int(number) for number in text.split(".")))


@dataclass(frozen=True)
class System:
    """What os-release(5) says of the running system: ``variant`` is the image's profile."""

    version: Version
    variant: str


def running(path: Path = OS_RELEASE) -> System:
    """The running system; :class:`BadInput` when this isn't Goni."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    values = {name: value.strip("\"'") for name, value in said.items()}
    return System(parse(values.get("VERSION_ID", "")), values.get("VARIANT_ID", "reference"))
