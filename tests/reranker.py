"""A reranker small enough for every test: a real BERT with a classification head, random weights.

What it prefers means nothing, but it reads question and passage together, as a real one does, and
its numbers depend on both and on nothing else.
"""

from __future__ import annotations

import string
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

WIDTH, LAYERS, HEADS, FEED_FORWARD = 64, 2, 2, 128
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = string.ascii_lowercase + string.digits + ".,?"
TOKENS = (*SPECIAL, *("\u2581" + letter for letter in LETTERS), *LETTERS)


def write_tiny_reranker(path: Path, *, seed: int = 0, context: int = 512) -> Path:
    """Write a model of about 400 kB to ``path``; the same ``seed`` gives the same bytes."""
    writer = gguf.GGUFWriter(path, "bert")
    _add_parameters(writer, context)
    _add_vocabulary(writer)
    for name, tensor in _tensors(np.random.default_rng(seed), context).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_parameters(writer: gguf.GGUFWriter, context: int) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("tiny reranker")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    kinds = gguf.TokenType
    normal = [kinds.NORMAL] * (len(TOKENS) - len(SPECIAL))
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(TOKENS))
    writer.add_token_scores([0.0] * len(TOKENS))
    writer.add_token_types([kinds.CONTROL] * len(SPECIAL) + normal)
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)


def _tensors(random: np.random.Generator, context: int) -> dict[str, NDArray[np.float32]]:
    def matrix(*shape: int) -> NDArray[np.float32]:
        return random.normal(0.0, 0.2, shape).astype(np.float32)

    ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    tensors = {
        "token_embd.weight": matrix(len(TOKENS), WIDTH),
        "position_embd.weight": matrix(context, WIDTH),
        "token_types.weight": matrix(2, WIDTH),
        "token_embd_norm.weight": ones,
        "token_embd_norm.bias": zeros,
        "cls.weight": matrix(WIDTH, WIDTH),
        "cls.bias": zeros,
        "cls.output.weight": matrix(1, WIDTH) * 5,
        "cls.output.bias": np.zeros(1, np.float32),
    }
    for block in (f"blk.{layer}." for layer in range(LAYERS)):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors |= {f"{block}{part}.weight": matrix(WIDTH, WIDTH), f"{block}{part}.bias": zeros}
        for part in ("attn_output_norm", "layer_output_norm"):
            tensors |= {f"{block}{part}.weight": ones, f"{block}{part}.bias": zeros}
        tensors |= {
            f"{block}ffn_up.weight": matrix(FEED_FORWARD, WIDTH),
            f"{block}ffn_up.bias": np.zeros(FEED_FORWARD, np.float32),
            f"{block}ffn_down.weight": matrix(WIDTH, FEED_FORWARD),
            f"{block}ffn_down.bias": zeros,
        }
    return tensors
