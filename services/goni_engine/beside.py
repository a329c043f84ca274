"""Files that belong to a model and are none by themselves: ``{id}.mmproj.gguf`` beside a model is
its projector, with which it reads pictures.

Read as defensively as models are. One that can't be used is left out with a warning, and the model
works without.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput, GoniError
from goni_engine import gguf
from goni_engine.card import number
from goni_engine.gguf import Contents
from goni_engine.pictures import MOST_PIXELS

log = logging.getLogger(__name__)

PROJECTOR = ".mmproj.gguf"
SUFFIXES = (PROJECTOR,)
PATCHES = 16384
"""Patches of one picture at most, for the projectors that take the most (Qwen's: 4096 tokens of
four; llama.cpp's clip.cpp)."""


@dataclass(frozen=True)
class Extra:
    """A file beside a model; ``needed`` is the memory in bytes that it takes."""

    path: Path
    needed: int


@dataclass(frozen=True)
class Beside:
    """What lies beside a model."""

    projector: Extra | None = None

    @property
    def needed(self) -> int:
        """Bytes of memory that all of it takes."""
        return self.projector.needed if self.projector else 0


NOTHING = Beside()


def suffix_of(name: str) -> str:
    """Which of :data:`SUFFIXES` the file ``name`` has; "" for a model's own."""
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def find(folder: Path, model: str) -> Beside:
    """What there is in ``folder`` for ``model``."""
    return Beside(projector=_read(folder / (model + PROJECTOR)))


def check(path: Path, suffix: str) -> None:
    """:class:`BadInput` unless ``path`` is a whole GGUF file of the kind that ``suffix`` names."""
    assert suffix == PROJECTOR
    _projector_memory(gguf.read(path))


def _read(path: Path) -> Extra | None:
    if not path.exists():
        return None
    try:
        return Extra(path, _projector_memory(gguf.read(path)))
    except GoniError as error:
        log.warning("%s can't be used: %s", path.name, error.message)
        return None


def _projector_memory(contents: Contents) -> int:
    """Bytes that llama.cpp takes for a projector: its weights, the widest two layers of the largest
    picture, and the picture itself.
    """
    metadata = contents.metadata
    if metadata.get("general.architecture") != "clip" or not contents.tensors:
        raise BadInput("this is not a projector for pictures", code="unsupported_model")
    if metadata.get("clip.has_vision_encoder") is not True:
        raise BadInput("this projector does not read pictures", code="unsupported_model")
    widest = max(
        number(metadata, f"clip.vision.{name}", 0, 1 << 20, default=0)
        for name in ("feed_forward_length", "embedding_length")
    )
    return contents.size + 2 * PATCHES * widest * 4 + 3 * MOST_PIXELS
