"""Which conversations a node has read lately, as far as this gateway knows: what its slots hold.

A slot of the engine keeps what it has read for one person (``goni_engine.seats``). This is the same
bookkeeping from outside: marks of messages, from which nothing can be read, and how many tokens
they are. It is a guess, as others use the slots too; a wrong one costs the time of reading.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from goni_gateway.prompt import Message

BYTES_EACH = 4
"""Bytes of text in a token, roughly."""
MOST = 512
"""Nodes and models that are remembered."""


@dataclass(frozen=True)
class Told:
    """A conversation: for each message its mark, and its length in tokens, roughly."""

    person: str
    marks: tuple[bytes, ...]
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


class Warmth:
    """What the slots of every node and model hold."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], deque[Told]] = OrderedDict()

    def note(self, node: str, model: str, slots: int, told: Told) -> None:
        """``node`` has read ``told`` with ``model``, of which it has so many slots."""
        held = self._held.setdefault((node, model), deque())
        self._held.move_to_end((node, model))
        for old in list(held):
            if old.person == told.person and _common(old, told):
                held.remove(old)
                break
        held.append(told)
        while len(held) > max(1, slots):
            held.popleft()
        while len(self._held) > MOST:
            self._held.popitem(last=False)

    def forget(self, node: str) -> None:
        """It failed, or unloaded what it had."""
        for key in [key for key in self._held if key[0] == node]:
            del self._held[key]

    def tokens(self, model: str, told: Told, nodes: Sequence[str]) -> Mapping[str, int]:
        """How many of the conversation's tokens each of ``nodes`` has read before."""
        return {
            node: max(
                (
                    _common(old, told)
                    for old in self._held.get((node, model), ())
                    if old.person == told.person
                ),
                default=0,
            )
            for node in nodes
        }


def told(person: str, messages: Sequence[Message]) -> Told:
    """``messages`` as they are remembered."""
    texts = [json.dumps(message, sort_keys=True).encode() for message in messages]
    return Told(
        person,
        tuple(hashlib.sha256(text).digest()[:8] for text in texts),
        tuple(len(text) // BYTES_EACH for text in texts),
    )


def _common(old: Told, new: Told) -> int:
    pairs = zip(old.marks, new.marks, new.lengths, strict=False)
    return sum(length for *_, length in takewhile(lambda pair: pair[0] == pair[1], pairs))
