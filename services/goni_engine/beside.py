"""Files that belong to a model and are none by themselves: ``{id}.mmproj.gguf`` is its projector,
with which it reads pictures, ``{id}.draft.gguf`` a small model of the same vocabulary that guesses
its next tokens, so that several are computed at once.

Read as defensively as models are. One that can't be used is left out with a warning, and the model
works without. Nothing guesses beside a projector: a draft can't see the pictures. A model with
guessing layers of its own uses them, unless there is a draft.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import BadInput, GoniError
from goni_engine import gguf
from goni_engine.card import CHAT, Card, card, number
from goni_engine.pictures import MOST_PIXELS
from goni_engine.plan import working_memory

log = logging.getLogger(__name__)

PROJECTOR = ".mmproj.gguf"
DRAFT = ".draft.gguf"
SUFFIXES = (PROJECTOR, DRAFT)
PATCHES = 16384
"""Patches of one picture at most, for the projectors that take the most (Qwen's: 4096 tokens of
four; llama.cpp's clip.cpp)."""


@dataclass(frozen=True)
class Extra:
    """A file beside a model; ``needed`` is the memory in bytes that it takes, ``kv_bytes`` what
    each token of context takes on top.
    """

    path: Path
    needed: int
    kv_bytes: int = 0


@dataclass(frozen=True)
class Beside:
    """What lies beside a model. ``own`` is the memory in bytes that its own guessing layers take
    beyond their weights, 0 when they aren't used.
    """

    projector: Extra | None = None
    draft: Extra | None = None
    own: int = 0

    @property
    def guesses(self) -> bool:
        """Whether tokens are guessed before they are computed."""
        return self.draft is not None or self.own > 0

    @property
    def without_guesses(self) -> Beside:
        return Beside(self.projector)

    @property
    def needed(self) -> int:
        """Bytes of memory that all of it takes, without context."""
        return sum(extra.needed for extra in (self.projector, self.draft) if extra) + self.own

    @property
    def arguments(self) -> tuple[str, ...]:
        """What llama-server is told of it."""
        projector, draft = self.projector, self.draft
        return (
            *(("--mmproj", str(projector.path)) if projector else ()),
            # Without the type a draft is loaded and never asked.
            *(("--model-draft", str(draft.path), "--spec-type", "draft-simple") if draft else ()),
            *(("--spec-type", "draft-mtp") if self.own else ()),
        )

    @property
    def kv_bytes(self) -> int:
        """Bytes of memory that it takes for each token of context."""
        return sum(extra.kv_bytes for extra in (self.projector, self.draft) if extra)


NOTHING = Beside()


def suffix_of(name: str) -> str:
    """Which of :data:`SUFFIXES` the file ``name`` has; "" for a model's own."""
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def find(folder: Path, model: str, its: Card) -> Beside:
    """What there is in ``folder`` for ``model``, whose card is ``its``; nothing unless it chats."""
    if its.kind != CHAT:
        return NOTHING
    projector = _usable(_projector, folder / (model + PROJECTOR))
    draft = None if projector else _usable(_draft, folder / (model + DRAFT))
    own = working_memory(its) if its.guesses and not projector and not draft else 0
    return Beside(projector, draft, own)


def check(path: Path, suffix: str) -> None:
    """:class:`BadInput` unless ``path`` is a whole GGUF file of the kind that ``suffix`` names."""
    (_projector if suffix == PROJECTOR else _draft)(path)


def _usable(read: Callable[[Path], Extra], path: Path) -> Extra | None:
    if not path.exists():
        return None
    try:
        return read(path)
    except GoniError as error:
        log.warning("%s can't be used: %s", path.name, error.message)
        return None


def _draft(path: Path) -> Extra:
    """A draft computes at the same time as its model, over the same context."""
    small = card(gguf.read(path))
    if small.kind != CHAT:
        raise BadInput("a draft must be a chat model", code="unsupported_model")
    return Extra(path, small.bytes + working_memory(small), small.kv_bytes)


def _projector(path: Path) -> Extra:
    """A projector takes its weights, the widest two layers of the largest picture, and the picture
    itself.
    """
    contents = gguf.read(path)
    metadata = contents.metadata
    if metadata.get("general.architecture") != "clip" or not contents.tensors:
        raise BadInput("this is not a projector for pictures", code="unsupported_model")
    if metadata.get("clip.has_vision_encoder") is not True:
        raise BadInput("this projector does not read pictures", code="unsupported_model")
    widest = max(
        number(metadata, f"clip.vision.{name}", 0, 1 << 20, default=0)
        for name in ("feed_forward_length", "embedding_length")
    )
    return Extra(path, contents.size + 2 * PATCHES * widest * 4 + 3 * MOST_PIXELS)
