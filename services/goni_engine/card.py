"""What Goni has to know of a model, taken from its GGUF metadata: kind, context, memory per token.

Pure: takes :class:`goni_engine.gguf.Contents`, gives a :class:`Card` or says which field is wrong.
Key names: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from goni_core.errors import BadInput
from goni_engine.gguf import Array, Contents, Value, bad

CHAT, EMBEDDING, RERANK = "chat", "embedding", "rerank"
RANK_POOLING = 4
"""llama.cpp's number for pooling by a classification head (``LLAMA_POOLING_TYPE_RANK``)."""

ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
"""llama.cpp's architectures that read text and write none."""
GUESSING = frozenset(
    {
        "bailingmoe3",
        "cohere2moe",
        "deepseek2",
        "deepseek32",
        "deepseek4",
        "glm-dsa",
        "glm4moe",
        "glm5-next",
        "hy_v3",
        "mimo2",
        "nemotron_h_moe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "step35",
    }
)
"""Architectures whose own guessing layers (multi-token prediction) llama.cpp can use: those in
src/models with a ``graph_mtp``."""
KV_BYTES = 2
"""llama-server keeps keys and values as 16-bit numbers unless told otherwise."""


@dataclass(frozen=True)
class Card:
    """A model in short. ``bytes`` is the file's size, ``kv_bytes`` the memory that one token of
    context takes, ``context`` the tokens it was trained on; ``guesses``: it has layers that guess
    its next tokens.
    """

    architecture: str
    kind: str
    name: str
    bytes: int
    context: int
    layers: int
    width: int
    vocabulary: int
    parameters: int
    kv_bytes: int
    guesses: bool = False


def card(contents: Contents) -> Card:
    """The card of a whole, single-file model; :class:`BadInput` for anything else."""
    metadata = contents.metadata
    architecture = _architecture(metadata)
    _check_whole(metadata, architecture)
    layers = number(metadata, f"{architecture}.block_count", 1, 1024)
    width = number(metadata, f"{architecture}.embedding_length", 1, 1 << 20)
    if not contents.tensors:
        raise bad("the file holds no weights, only a vocabulary")
    return Card(
        architecture=architecture,
        kind=_kind(metadata, architecture),
        name=_name(metadata),
        bytes=contents.size,
        context=number(metadata, f"{architecture}.context_length", 1, 1 << 28),
        layers=layers,
        width=width,
        vocabulary=_vocabulary(metadata),
        parameters=sum(tensor.elements for tensor in contents.tensors),
        kv_bytes=_kv_bytes(metadata, architecture, layers, width),
        guesses=_guesses(contents, architecture, layers),
    )


def _architecture(metadata: Mapping[str, Value]) -> str:
    value = metadata.get("general.architecture")
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", value):
        raise bad("general.architecture is missing or not a name")
    return value


def _check_whole(metadata: Mapping[str, Value], architecture: str) -> None:
    kind = metadata.get("general.type", "model")
    if kind != "model" or architecture == "clip":
        part = "a projector for images" if architecture == "clip" else "an addition to a model"
        raise _unsupported(f"this is {part}, not a model by itself")
    if number(metadata, "split.count", 0, 1 << 16, default=1) > 1:
        raise _unsupported("this is one part of a model that is split over several files")


def _unsupported(message: str) -> BadInput:
    return BadInput(message, hint="bring a single GGUF file", code="unsupported_model")


def _kind(metadata: Mapping[str, Value], architecture: str) -> str:
    pooling = number(metadata, f"{architecture}.pooling_type", 0, 100, default=0)
    if pooling == RANK_POOLING:
        return RERANK
    return EMBEDDING if pooling or architecture in ENCODERS else CHAT


def _guesses(contents: Contents, architecture: str, layers: int) -> bool:
    """Whether the guessing layers, which are the last ones, are really in the file."""
    number_of = number(
        contents.metadata, f"{architecture}.nextn_predict_layers", 0, layers, default=0
    )
    first = f"blk.{layers - number_of}.nextn.eh_proj.weight"
    there = any(tensor.name == first for tensor in contents.tensors)
    return architecture in GUESSING and number_of > 0 and there


def _name(metadata: Mapping[str, Value]) -> str:
    value = metadata.get("general.name")
    text = value if isinstance(value, str) else ""
    return "".join(letter for letter in text if letter.isprintable())[:100]


def _vocabulary(metadata: Mapping[str, Value]) -> int:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, Array) or tokens.count == 0:
        raise bad("tokenizer.ggml.tokens is missing: the model has no vocabulary")
    return tokens.count


def _kv_bytes(metadata: Mapping[str, Value], architecture: str, layers: int, width: int) -> int:
    """Memory of one token's keys and values in all layers. Sliding windows and compressed caches
    take less: the estimate errs on the safe side.
    """
    prefix = f"{architecture}.attention."
    heads = _per_layer(metadata, f"{prefix}head_count", layers, [0] * layers)
    kv_heads = _per_layer(metadata, f"{prefix}head_count_kv", layers, heads)
    usual = width // max(heads) if max(heads) else 0
    key = number(metadata, f"{prefix}key_length", 0, 1 << 16, default=usual)
    value = number(metadata, f"{prefix}value_length", 0, 1 << 16, default=usual)
    return sum(kv_heads) * (key + value) * KV_BYTES


def _per_layer(
    metadata: Mapping[str, Value], name: str, layers: int, default: list[int]
) -> list[int]:
    """A number that holds for every layer, or an array with one number each."""
    value = metadata.get(name)
    if value is None:
        return default
    if not isinstance(value, Array):
        return [number(metadata, name, 0, 1 << 16)] * layers
    numbers = [number for number in value.values if isinstance(number, int)]
    if len(numbers) < layers or not all(0 <= number <= 1 << 16 for number in numbers):
        raise bad(f"{name} does not hold one sensible number per layer")
    return numbers[:layers]


def number(
    metadata: Mapping[str, Value], name: str, least: int, most: int, *, default: int | None = None
) -> int:
    """The integer called ``name``; :class:`BadInput` when it isn't one from ``least`` to ``most``,
    or is missing and has no ``default``.
    """
    value = metadata.get(name, default)
    if value is None:
        raise bad(f"{name} is missing")
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad(f"{name} is not a number from {least} to {most}")
    return value
