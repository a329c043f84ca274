"""A GGUF file is believed only where it can be checked: hostile files are forged here byte by
byte.
"""

from __future__ import annotations

import io
import struct
import time
import zipfile
from pathlib import Path

import gguf as reference
import pytest

from goni_core.errors import BadInput
from goni_engine import card as cards
from goni_engine import gguf, tensors
from tests.models import write_tiny_chat_model

STRING, UINT32, ARRAY = 8, 4, 9


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name.encode()) + struct.pack("<I", kind) + value


def number(name: str, value: int) -> bytes:
    return key(name, UINT32, struct.pack("<I", value))


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return (
        text(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape)
        + struct.pack("<IQ", kind, offset)
    )


def header(version: int = 3, tensors: int = 0, keys: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def refused(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        gguf.read(path)
    return caught.value.message


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_chat_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def test_a_real_model_is_read_as_the_reference_reader_reads_it(tiny: Path) -> None:
    read = gguf.read(tiny)
    wanted = reference.GGUFReader(tiny)
    assert [(t.name, t.shape, t.size) for t in read.tensors] == [
        (t.name, tuple(int(n) for n in t.shape), t.n_bytes) for t in wanted.tensors
    ]
    assert set(read.metadata) == {name for name in wanted.fields if not name.startswith("GGUF.")}


def test_the_card_of_a_real_model_says_what_it_is(tiny: Path) -> None:
    card = cards.card(gguf.read(tiny))
    assert (card.kind, card.architecture, card.name) == ("chat", "llama", "tiny")
    assert (card.context, card.layers) == (16384, 2)
    assert card.kv_bytes == 2 * (64 + 64) * 1 * 2  # layers, key and value, heads, bytes
    assert card.bytes == tiny.stat().st_size
    assert card.parameters * 4 < card.bytes < card.parameters * 4 + 20_000


def test_every_cut_of_a_real_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    start = len(whole) - sum(t.size for t in gguf.read(tiny).tensors)
    for length in [*range(0, start, 97), start, start + 1000, len(whole) - 1]:
        assert refused(tmp_path, whole[:length]), length


def test_damaged_headers_are_refused_or_read_but_never_crash(tiny: Path, tmp_path: Path) -> None:
    whole = bytearray(tiny.read_bytes())
    path = tmp_path / "damaged.gguf"
    read = 0
    for position in range(0, 3000, 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            cards.card(gguf.read(path))
            read += 1
        except BadInput as error:
            assert error.message
    assert read < 400


def test_a_zip_archive_named_gguf_is_refused(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("model", "x" * 100)
    assert "ZIP" in refused(tmp_path, held.getvalue())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"GG", "truncated"),
        (b"<!DOCTYPE html>", "not a GGUF"),
        (b"GGUF\x00\x00\x00\x03" + bytes(16), "big-endian"),
        (header(version=1), "version 1"),
        (header(version=4), "version 4"),
        (header(tensors=1 << 63), "claims 9223372036854775808 tensors"),
        (header(keys=1 << 40), "metadata keys"),
        (header(keys=1), "truncated"),
        (header(keys=1) + struct.pack("<Q", 1 << 62), "claims a length of"),
        (header(keys=1) + key("k", STRING, struct.pack("<Q", 1 << 60)), "claims a length of"),
        (header(keys=1) + key("k", STRING, struct.pack("<Q", 5000)), "truncated"),
        (header(keys=1) + key("k", STRING, text(b"\xff\xfe")), "UTF-8"),
        (header(keys=1) + key("k", 99, b""), "unknown type 99"),
        (header(keys=1) + key("", UINT32, bytes(4)), "not a name"),
        (header(keys=1) + key("a\nb", UINT32, bytes(4)), "not a name"),
        (header(keys=2) + number("k", 1) + number("k", 2), "twice"),
        (header(keys=1) + key("k", ARRAY, struct.pack("<IQ", 4, 1 << 61)), "too many"),
        (header(keys=1) + key("k", ARRAY, struct.pack("<IQ", 4, 1_000_000)), "truncated"),
        (header(keys=1) + key("k", ARRAY, struct.pack("<IQ", ARRAY, 1)), "unsupported type 9"),
        (header(keys=1) + number("general.alignment", 33), "alignment"),
        (header(keys=1) + number("general.alignment", 0), "alignment"),
    ],
)
def test_forged_headers_are_refused_with_the_reason(
    tmp_path: Path, content: bytes, words: str
) -> None:
    assert words in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (tensor(b"w", (8,), 0, 1 << 63), "starts at 9223372036854775808 instead of 0"),
        (tensor(b"w", (8,), 0, 32), "instead of 0"),
        (tensor(b"w", (64,), 0, 0), "truncated"),
        (tensor(b"w", (1 << 62, 1 << 62), 0, 0), "impossible shape"),
        (tensor(b"w", (0,), 0, 0), "impossible shape"),
        (tensor(b"w", (33,), 2, 0), "impossible shape"),
        (tensor(b"w", (8,), 4, 0), "unknown type 4"),
        (tensor(b"w", (8,), 1 << 31, 0), "unknown type"),
        (tensor(b"w", (1, 1, 1, 1, 1), 0, 0), "5 dimensions"),
        (tensor(b"w", (), 0, 0), "0 dimensions"),
        (tensor(b"w" * 64, (8,), 0, 0), "claims a length of 64"),
    ],
)
def test_forged_tensors_are_refused_with_the_reason(
    tmp_path: Path, described: bytes, words: str
) -> None:
    assert words in refused(tmp_path, padded(header(tensors=1) + described) + bytes(32))


def test_tensors_that_overlap_or_repeat_are_refused(tmp_path: Path) -> None:
    first = tensor(b"a", (8,), 0, 0)
    overlapping = header(tensors=2) + first + tensor(b"b", (8,), 0, 0)
    assert "tensor b starts at 0" in refused(tmp_path, padded(overlapping) + bytes(64))
    repeated = header(tensors=2) + first + tensor(b"a", (8,), 0, 32)
    assert "twice" in refused(tmp_path, padded(repeated) + bytes(64))


def test_a_million_strings_are_refused_within_seconds(tmp_path: Path) -> None:
    many = key("k", ARRAY, struct.pack("<IQ", STRING, 9_000_000)) + bytes(9_000_000 * 8)
    started = time.monotonic()
    assert "too many" in refused(tmp_path, header(keys=1) + many)
    assert time.monotonic() - started < 5


def model_with(tmp_path: Path, *keys: bytes) -> Path:
    """A whole, tiny GGUF with the metadata ``keys`` and one tensor."""
    path = tmp_path / "forged.gguf"
    start = header(tensors=1, keys=len(keys)) + b"".join(keys) + tensor(b"w", (8,), 0, 0)
    path.write_bytes(padded(start) + bytes(32))
    return path


ARCHITECTURE = key("general.architecture", STRING, text(b"llama"))
VOCABULARY = key("tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", STRING, 1) + text(b"a"))
SIZES = (
    number("llama.block_count", 2),
    number("llama.embedding_length", 64),
    number("llama.context_length", 512),
)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((), "general.architecture"),
        ((key("general.architecture", STRING, text(b"../x")),), "general.architecture"),
        ((ARCHITECTURE,), "llama.block_count is missing"),
        ((ARCHITECTURE, *SIZES), "no vocabulary"),
        ((ARCHITECTURE, number("llama.block_count", 1 << 31)), "llama.block_count is not"),
        ((ARCHITECTURE, key("general.type", STRING, text(b"adapter"))), "addition"),
        ((key("general.architecture", STRING, text(b"clip")),), "projector"),
        ((ARCHITECTURE, number("split.count", 3)), "split"),
        (
            (ARCHITECTURE, *SIZES, VOCABULARY, number("llama.attention.head_count", 1 << 30)),
            "llama.attention.head_count is not",
        ),
        (
            (
                ARCHITECTURE,
                *SIZES,
                VOCABULARY,
                key(
                    "llama.attention.head_count_kv",
                    ARRAY,
                    struct.pack("<IQI", UINT32, 1, 4),
                ),
            ),
            "one sensible number per layer",
        ),
    ],
)
def test_models_that_make_no_sense_are_refused_by_field(
    tmp_path: Path, keys: tuple[bytes, ...], words: str
) -> None:
    with pytest.raises(BadInput) as caught:
        cards.card(gguf.read(model_with(tmp_path, *keys)))
    assert words in caught.value.message


def test_a_pooling_model_is_an_embedding_model(tmp_path: Path) -> None:
    keys = (ARCHITECTURE, *SIZES, VOCABULARY)
    assert cards.card(gguf.read(model_with(tmp_path, *keys))).kind == "chat"
    pooling = number("llama.pooling_type", 3)
    assert cards.card(gguf.read(model_with(tmp_path, *keys, pooling))).kind == "embedding"


def test_layers_with_different_heads_are_summed(tmp_path: Path) -> None:
    heads = key("llama.attention.head_count_kv", ARRAY, struct.pack("<IQII", UINT32, 2, 4, 0))
    keys = (ARCHITECTURE, *SIZES, VOCABULARY, number("llama.attention.head_count", 4), heads)
    assert cards.card(gguf.read(model_with(tmp_path, *keys))).kv_bytes == 4 * (16 + 16) * 2


def test_the_type_table_is_that_of_the_reference_package() -> None:
    known = {kind.value: kind for kind in reference.GGMLQuantizationType}
    compared = [number for number in tensors.TYPES if number in known]
    assert len(compared) >= 30  # the package lags behind llama.cpp by the newest formats
    for number_ in compared:
        ours, theirs = tensors.TYPES[number_], known[number_]
        assert ours.name == theirs.name
        assert (ours.block, ours.size) == reference.GGML_QUANT_SIZES[theirs]
