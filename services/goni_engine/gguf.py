"""Reads the structure of a GGUF file without trusting a byte of it.

The file comes from a person, a stick or another machine, and llama.cpp is C++: so every count,
length, type and offset is checked here first, with the limits below, in memory-safe code. Checked
is what llama.cpp's own reader (gguf.cpp) checks, and more strictly where a limit is missing there.
Nothing of the weights is read. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from goni_core.errors import BadInput
from goni_engine.tensors import MAX_DIMENSIONS, TYPES, Tensor, size_of

HEADER_LIMIT = 256 << 20
"""Bytes before the weights: large vocabularies take about 20 MiB."""
KEYS_LIMIT = 10_000
TENSORS_LIMIT = 100_000
KEY_LIMIT = 4096
STRING_LIMIT = 4 << 20
ELEMENTS_LIMIT = 8_000_000
"""Elements of all arrays together; a vocabulary of 262,144 tokens has about 1,500,000."""
NAME_LIMIT = 63
KEPT = 1024
"""Numeric arrays up to this length are kept (one entry per layer); longer ones are only counted."""

SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
"""GGUF value types as struct formats."""
STRING, ARRAY = 8, 9


@dataclass(frozen=True)
class Array:
    """An array in the metadata: how long, and its values if they are numbers and few."""

    count: int
    values: tuple[int | float | bool, ...] = ()


Value = int | float | bool | str | Array


@dataclass(frozen=True)
class Contents:
    """What a GGUF file says it holds; every field was checked against the file's size."""

    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    size: int


def bad(message: str) -> BadInput:
    return BadInput(
        message, hint="bring a whole, unmodified GGUF file of a chat model", code="bad_model"
    )


def read(path: Path) -> Contents:
    """Parse ``path``; :class:`BadInput` says what is wrong with it. Reads up to 256 MiB."""
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(file, size)
        version = _version(reader)
        tensor_count = _count(reader, "tensors", TENSORS_LIMIT)
        key_count = _count(reader, "metadata keys", KEYS_LIMIT)
        metadata = _metadata(reader, key_count)
        alignment = _alignment(metadata)
        tensors = _tensors(reader, tensor_count)
        start = _padded(reader.position, alignment)
    _check_layout(tensors, alignment, start, size)
    return Contents(version, MappingProxyType(metadata), tensors, size)


class _Reader:
    """Takes bytes from the header, never beyond the file or :data:`HEADER_LIMIT`."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._elements = 0
        self.position = 0

    def take(self, length: int, what: str) -> bytes:
        end = self.position + length
        if end > self._size:
            raise bad(f"the file is truncated: it ends within {what}")
        if end > HEADER_LIMIT:
            raise bad(f"the header is larger than {HEADER_LIMIT >> 20} MiB")
        data = self._file.read(length)
        if len(data) != length:
            raise bad(f"the file is truncated: it ends within {what}")
        self.position = end
        return data

    def number(self, form: str, what: str) -> int | float | bool:
        layout = "<" + form
        value: int | float | bool = struct.unpack(layout, self.take(struct.calcsize(layout), what))[
            0
        ]
        return value

    def unsigned(self, form: str, what: str) -> int:
        return int(self.number(form, what))

    def length(self, limit: int, what: str) -> int:
        value = self.unsigned("Q", what)
        if value > limit:
            raise bad(f"{what} claims a length of {value}, the limit is {limit}")
        return value

    def string(self, limit: int, what: str) -> str:
        data = self.take(self.length(limit, what), what)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad(f"{what} is not valid UTF-8") from error

    def count_elements(self, count: int, what: str) -> None:
        self._elements += count
        if self._elements > ELEMENTS_LIMIT:
            raise bad(f"{what} claims {count} elements: too many")


def _version(reader: _Reader) -> int:
    magic = reader.take(4, "the first four bytes")
    if magic.startswith(b"PK"):
        raise bad("this is a ZIP archive, not a GGUF model")
    if magic != b"GGUF":
        raise bad("this is not a GGUF file")
    version = reader.unsigned("I", "the version")
    if version & 0xFFFF == 0:
        raise bad("this GGUF file is for big-endian machines")
    if version not in (2, 3):
        raise bad(f"GGUF version {version} is not supported, only 2 and 3 are")
    return version


def _count(reader: _Reader, what: str, limit: int) -> int:
    count = reader.unsigned("Q", f"the number of {what}")
    if count > limit:
        raise bad(f"the file claims {count} {what}, the limit is {limit}")
    return count


def _metadata(reader: _Reader, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for number in range(count):
        key = reader.string(KEY_LIMIT, f"metadata key {number}")
        if not key or not key.isprintable():
            raise bad(f"metadata key {number} is not a name")
        if key in metadata:
            raise bad(f"metadata key {key[:80]!r} is there twice")
        kind = reader.unsigned("I", key[:80])
        metadata[key] = _value(reader, kind, key[:80])
    return metadata


def _value(reader: _Reader, kind: int, key: str) -> Value:
    if kind in SCALARS:
        return reader.number(SCALARS[kind], key)
    if kind == STRING:
        return reader.string(STRING_LIMIT, key)
    if kind == ARRAY:
        return _array(reader, key)
    raise bad(f"{key} has the unknown type {kind}")


def _array(reader: _Reader, key: str) -> Array:
    kind = reader.unsigned("I", key)
    count = reader.unsigned("Q", key)
    reader.count_elements(count, key)
    if kind == STRING:
        for _ in range(count):
            reader.take(reader.length(STRING_LIMIT, key), key)
        return Array(count)
    if kind not in SCALARS:
        raise bad(f"{key} is an array of the unsupported type {kind}")
    layout = f"<{count}{SCALARS[kind]}"
    data = reader.take(struct.calcsize(layout), key)
    return Array(count, struct.unpack(layout, data) if count <= KEPT else ())


def _alignment(metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or not 1 <= value <= 1 << 20 or value & (value - 1):
        raise bad("general.alignment is not a power of two up to 1 MiB")
    return value


def _tensors(reader: _Reader, count: int) -> tuple[Tensor, ...]:
    tensors = []
    names: set[str] = set()
    for number in range(count):
        tensor = _tensor(reader, number)
        if tensor.name in names:
            raise bad(f"tensor {tensor.name!r} is there twice")
        names.add(tensor.name)
        tensors.append(tensor)
    return tuple(tensors)


def _tensor(reader: _Reader, number: int) -> Tensor:
    what = f"tensor {number}"
    name = reader.string(NAME_LIMIT, f"the name of {what}")
    if not name.isprintable():
        raise bad(f"the name of {what} is not printable")
    dimensions = reader.unsigned("I", what)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise bad(f"{what} has {dimensions} dimensions")
    shape = tuple(reader.unsigned("Q", what) for _ in range(dimensions))
    kind = reader.unsigned("I", what)
    offset = reader.unsigned("Q", what)
    if kind not in TYPES:
        raise bad(f"{what} ({name}) has the unknown type {kind}")
    size = size_of(shape, TYPES[kind])
    if size is None:
        raise bad(f"{what} ({name}) has an impossible shape")
    return Tensor(name, shape, TYPES[kind].name, offset, size)


def _check_layout(tensors: tuple[Tensor, ...], alignment: int, start: int, size: int) -> None:
    """Tensors must follow each other in order, without gap or overlap, inside the file; Python's
    integers don't overflow.
    """
    expected = 0
    for tensor in tensors:
        if tensor.offset != expected:
            raise bad(f"tensor {tensor.name} starts at {tensor.offset} instead of {expected}")
        if start + expected + tensor.size > size:
            raise bad(
                f"the file is truncated: tensor {tensor.name} ends at byte "
                f"{start + expected + tensor.size}, the file at {size}"
            )
        expected = _padded(expected + tensor.size, alignment)


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
