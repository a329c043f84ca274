"""The models that Goni offers (``catalog.yaml`` beside this file), and what each would mean here.

Parsed once and strictly: an unknown key or a bad field is an error that names the entry. The
verdict is pure: catalog and memory in, words for the person out. The engine has no network; whoever
downloads takes the addresses and hashes from here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goni_core import fields
from goni_core.contract import Offer, Remote
from goni_core.errors import BadInput
from goni_engine.beside import PROJECTOR
from goni_engine.plan import Memory, reserve
from goni_engine.store import SUFFIX

SHIPPED = Path(__file__).with_name("catalog.yaml")
ELSEWHERE = "GONI_CATALOG"
"""Environment variable with another catalog's path, for tests."""
KINDS = ("chat", "embedding", "rerank")
SERVED = ("chat", "rerank")
"""Kinds that this version has a use for once they are here."""
LISTINGS = ("gallery", "hub")
"""The public listings that hashes were read in; catalog.yaml says where they are."""

BANDWIDTH = 256e9
USED_SHARE = 0.84
"""Bytes per second of the reference box's memory, and the share of it that generation reaches:
measured, see FACTS ("generation is about 0.84 x 256 / (GB of active weights)")."""
CPU_FACTOR = 10
"""How many times slower a node without a GPU answers; what ``device`` tells the person too."""

WORDS_PER_TOKEN = 0.75
"""In English, roughly; for the person, who doesn't know what a token is."""

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FILE = re.compile(r"[A-Za-z0-9][\w.-]{0,180}\.gguf")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"main|[0-9a-f]{40}")
_HUB = re.compile(r"https://[a-z0-9.-]+")


@dataclass(frozen=True)
class File:
    """A file on the hub; ``sha256`` is empty where no public listing states it."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """A model that can be had. ``memory`` in bytes with a context of some 8,000 tokens, parameters
    in billions; ``projector`` is the extra file with which it reads pictures.
    """

    id: str
    title: str
    kind: str
    use: str
    repo: str
    revision: str
    weights: File
    licence: str
    memory: int
    context: int
    total: float
    active: float
    projector: File | None

    @property
    def active_bytes(self) -> float:
        """Bytes of weights that are read for one token."""
        return self.weights.bytes * self.active / self.total

    @property
    def tokens_per_second(self) -> float:
        """What the reference box reaches at best, by the bandwidth rule."""
        return USED_SHARE * BANDWIDTH / self.active_bytes

    @property
    def remotes(self) -> tuple[Remote, ...]:
        """Its files on the hub, the model first."""
        found = [self._remote(self.weights, SUFFIX)]
        if self.projector is not None:
            found.append(self._remote(self.projector, PROJECTOR))
        return tuple(found)

    def _remote(self, file: File, suffix: str) -> Remote:
        path = f"/{self.repo}/resolve/{self.revision}/{file.file}"
        return Remote(path, self.id + suffix, file.bytes, file.sha256)


@dataclass(frozen=True)
class Catalog:
    """The hub's address and the models, best first."""

    hub: str
    entries: tuple[Entry, ...]


def load(path: Path | None = None) -> Catalog:
    """The catalog in ``path`` (default: the shipped one); :class:`BadInput` names what is wrong
    with it.
    """
    path = path or Path(os.environ.get(ELSEWHERE, SHIPPED))
    try:
        value = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} is not YAML", code="bad_catalog") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path.name} is not a mapping", code="bad_catalog")
    fields.only(value, {"version", "hub", "models"})
    fields.integer(value, "version", least=1, most=1)
    entries = tuple(_named(entry) for entry in fields.objects(value, "models", most=200))
    names = [entry.id for entry in entries]
    if len(set(names)) != len(names):
        raise BadInput("two models of the catalog have the same id", code="bad_catalog")
    return Catalog(_matching(value, "hub", _HUB), entries)


def offered(entry: Entry, memory: Memory, *, gpu: bool, here: bool) -> Offer:
    """What ``entry`` would mean on a node with that much memory."""
    missing = max(0, entry.memory - (memory.total - reserve(memory)))
    speed = entry.tokens_per_second / (1 if gpu else CPU_FACTOR) if entry.kind == "chat" else 0.0
    return Offer(
        id=entry.id,
        title=entry.title,
        kind=entry.kind,
        use=entry.use,
        source=entry.repo,
        licence=entry.licence,
        context=entry.context,
        memory=entry.memory,
        bytes=sum(remote.bytes for remote in entry.remotes),
        reads_pictures=entry.projector is not None,
        here=here,
        usable=entry.kind in SERVED,
        fits=not missing,
        missing_memory=missing,
        tokens_per_second=round(speed, 1),
        words=_words(entry.kind, missing, speed),
        files=entry.remotes,
    )


def _words(kind: str, missing: int, speed: float) -> str:
    if kind not in SERVED:
        return "Goni finds passages with the embedding model that it comes with"
    if missing:
        return f"too large for this node: {missing / 1e9:.1f} GB of memory are missing"
    if kind != "chat":
        return "fits"
    return f"fits; writes up to {max(1, round(speed * WORDS_PER_TOKEN))} words a second"


def _named(value: fields.Object) -> Entry:
    try:
        return _entry(value)
    except BadInput as error:
        name = str(value.get("id", "?"))[:80]
        raise BadInput(f"catalog entry {name}: {error.message}", code="bad_catalog") from error


def _entry(value: fields.Object) -> Entry:
    fields.only(
        value,
        {
            *("id", "title", "kind", "use", "source", "file", "bytes", "sha256", "hash_from"),
            *("licence", "memory", "context", "parameters", "projector"),
        },
    )
    source, parameters = _mapping(value, "source"), _mapping(value, "parameters")
    fields.only(source, {"repo", "revision"})
    fields.only(parameters, {"total", "active"})
    weights = _file(value)
    projector = _mapping(value, "projector") if "projector" in value else None
    if projector is not None:
        fields.only(projector, {"file", "bytes", "sha256", "hash_from"})
    kind = fields.text(value, "kind")
    if kind not in KINDS:
        raise BadInput(f"kind must be one of {', '.join(KINDS)}")
    total, active = _billions(parameters, "total"), _billions(parameters, "active")
    if active > total:
        raise BadInput("more parameters are active than there are")
    return Entry(
        id=_matching(value, "id", _ID),
        title=fields.text(value, "title", longest=60),
        kind=kind,
        use=fields.text(value, "use", longest=200),
        repo=_matching(source, "repo", _REPO),
        revision=_matching(source, "revision", _REVISION),
        weights=weights,
        licence=fields.text(value, "licence", longest=40),
        memory=fields.integer(value, "memory", least=weights.bytes, most=1 << 41),
        context=fields.integer(value, "context", least=256, most=1 << 24),
        total=total,
        active=active,
        projector=_file(projector) if projector is not None else None,
    )


def _file(value: fields.Object) -> File:
    if "sha256" not in value:
        raise BadInput("sha256 is missing; write null where no listing states it")
    known = value["sha256"] is not None
    if known and fields.text(value, "hash_from") not in LISTINGS:
        raise BadInput(f"hash_from must be one of {', '.join(LISTINGS)}")
    if not known and "hash_from" in value:
        raise BadInput("hash_from without a sha256")
    return File(
        file=_matching(value, "file", _FILE),
        bytes=fields.integer(value, "bytes", least=1 << 20, most=512 << 30),
        sha256=_matching(value, "sha256", _SHA256) if known else "",
    )


def _matching(value: fields.Object, name: str, pattern: re.Pattern[str]) -> str:
    text = fields.text(value, name)
    if not pattern.fullmatch(text):
        raise BadInput(f"{name} does not look like one", code="bad_value")
    return text


def _mapping(value: fields.Object, name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise BadInput(f"{name} must be a mapping", code="bad_type")
    return found


def _billions(value: fields.Object, name: str) -> float:
    number = value.get(name)
    if not isinstance(number, float) or not 0 < number < 10_000:
        raise BadInput(f"parameters.{name} must be a number like 3.0", code="bad_type")
    return number
