"""Tensors from a safetensors file, without PyTorch.

The format (https://huggingface.co/docs/safetensors, "Format"): eight bytes with the header's
length, a JSON header that gives each tensor's type, shape and place, then the tensors. Every number
is checked before it is used, as a downloaded file deserves.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goni_core import fields
from goni_core.errors import BadInput

TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
}
HEADER_LIMIT = 8 << 20

Tensor = NDArray[Any]


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of ``path`` by name, as read-only views of the file."""
    if path.stat().st_size < 8:
        raise BadInput(f"{path.name} is not a safetensors file")
    data: Tensor = np.memmap(path, dtype=np.uint8, mode="r")
    length = int.from_bytes(data[:8].tobytes(), "little")
    if length > min(HEADER_LIMIT, len(data) - 8):
        raise BadInput(f"{path.name} is not a safetensors file")
    header = fields.parse(data[8 : 8 + length].tobytes())
    body = data[8 + length :]
    return {
        name: _tensor(name, place, body) for name, place in header.items() if name != "__metadata__"
    }


def _tensor(name: str, place: fields.Object, body: Tensor) -> Tensor:
    try:
        dtype: np.dtype[Any] = TYPES[place["dtype"]]
        shape, (start, end) = place["shape"], place["data_offsets"]
        if not 0 <= start <= end <= len(body) or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError("outside the file")
        return body[start:end].view(dtype).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"tensor {name!r} has a bad type, shape or place") from error
