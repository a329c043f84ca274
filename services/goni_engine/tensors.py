"""The number formats that ggml stores weights in, and how many bytes a tensor takes.

From ggml's type table (ggml.c, ggml-common.h) of the pinned llama.cpp; a test compares it with the
``gguf`` package. Formats that only exist while computing (Q8_1, Q8_K) are left out: no file has
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_DIMENSIONS = 4
LARGEST = 1 << 46
"""Elements of one tensor: far more than any model has, far from overflowing 64 bits in C++."""


@dataclass(frozen=True)
class Type:
    """``block`` numbers are stored together in ``size`` bytes."""

    name: str
    block: int
    size: int


TYPES = {
    0: Type("F32", 1, 4),
    1: Type("F16", 1, 2),
    2: Type("Q4_0", 32, 18),
    3: Type("Q4_1", 32, 20),
    6: Type("Q5_0", 32, 22),
    7: Type("Q5_1", 32, 24),
    8: Type("Q8_0", 32, 34),
    10: Type("Q2_K", 256, 84),
    11: Type("Q3_K", 256, 110),
    12: Type("Q4_K", 256, 144),
    13: Type("Q5_K", 256, 176),
    14: Type("Q6_K", 256, 210),
    16: Type("IQ2_XXS", 256, 66),
    17: Type("IQ2_XS", 256, 74),
    18: Type("IQ3_XXS", 256, 98),
    19: Type("IQ1_S", 256, 50),
    20: Type("IQ4_NL", 32, 18),
    21: Type("IQ3_S", 256, 110),
    22: Type("IQ2_S", 256, 82),
    23: Type("IQ4_XS", 256, 136),
    24: Type("I8", 1, 1),
    25: Type("I16", 1, 2),
    26: Type("I32", 1, 4),
    27: Type("I64", 1, 8),
    28: Type("F64", 1, 8),
    29: Type("IQ1_M", 256, 56),
    30: Type("BF16", 1, 2),
    34: Type("TQ1_0", 256, 54),
    35: Type("TQ2_0", 256, 66),
    39: Type("MXFP4", 32, 17),
    40: Type("NVFP4", 64, 36),
    41: Type("Q1_0", 128, 18),
    42: Type("Q2_0", 64, 18),
}
"""By ggml's number."""


@dataclass(frozen=True)
class Tensor:
    """One array of weights: its place (``offset`` from the start of the weights) and size in
    bytes.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def size_of(shape: tuple[int, ...], kind: Type) -> int | None:
    """Bytes of a tensor, or None when no tensor can have that shape in that format."""
    elements = math.prod(shape)
    if not 0 < elements <= LARGEST or shape[0] % kind.block:
        return None
    return elements // kind.block * kind.size
