"""A tiny chat model with a layer that guesses the next token but one (multi-token prediction).

GLM 4.5's kind, as llama.cpp reads it (src/models/glm4-moe.cpp): two dense layers, then the guessing
one, which is a mixture of two experts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests import models

EXPERTS, EXPERT_WIDTH = 2, 64


def write_guessing_model(path: Path, *, guesses: int = 1, seed: int = 1) -> Path:
    """Write the model to ``path``, with so many guessing layers; it says the same with each number.
    llama.cpp takes one of this kind; with two it ends.
    """
    shape = replace(models.TINY, layers=models.TINY.layers + guesses)
    random = np.random.default_rng(seed)
    tensors = models._tensors(random, len(models.TOKENS), models.TINY)
    for layer in range(models.TINY.layers):
        tensors[f"blk.{layer}.post_attention_norm.weight"] = tensors.pop(
            f"blk.{layer}.ffn_norm.weight"
        )
    models._limit_speech(tensors, models.SPOKEN)
    for layer in range(models.TINY.layers, shape.layers):
        tensors |= _guessing_layer(random, layer)

    def more(writer: gguf.GGUFWriter) -> None:
        writer.add_expert_count(EXPERTS)
        writer.add_expert_used_count(1)
        writer.add_expert_shared_count(1)
        writer.add_expert_feed_forward_length(EXPERT_WIDTH)
        writer.add_leading_dense_block_count(models.TINY.layers)
        writer.add_nextn_predict_layers(guesses)

    return models._write(
        path, models.TOKENS, tensors, 16384, shape=shape, architecture="glm4moe", more=more
    )


def _guessing_layer(random: np.random.Generator, layer: int) -> dict[str, NDArray[np.float32]]:
    width, kv_width = models.TINY.width, models.TINY.width // models.TINY.heads

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.normal(0.0, 0.1, shape).astype(np.float32)

    ones = np.ones(width, np.float32)
    norms = ("attn_norm", "post_attention_norm", "nextn.enorm", "nextn.hnorm")
    parts = {
        **{f"{name}.weight": ones for name in norms},
        "attn_q.weight": normal(width, width),
        "attn_k.weight": normal(kv_width, width),
        "attn_v.weight": normal(kv_width, width),
        "attn_output.weight": normal(width, width),
        "ffn_gate_inp.weight": normal(EXPERTS, width),
        "exp_probs_b.bias": normal(EXPERTS),
        "ffn_gate_exps.weight": normal(EXPERTS, EXPERT_WIDTH, width),
        "ffn_up_exps.weight": normal(EXPERTS, EXPERT_WIDTH, width),
        "ffn_down_exps.weight": normal(EXPERTS, width, EXPERT_WIDTH),
        "ffn_gate_shexp.weight": normal(EXPERT_WIDTH, width),
        "ffn_up_shexp.weight": normal(EXPERT_WIDTH, width),
        "ffn_down_shexp.weight": normal(width, EXPERT_WIDTH),
        "nextn.eh_proj.weight": normal(width, 2 * width),
        "nextn.shared_head_norm.weight": ones,
    }
    return {f"blk.{layer}.{name}": tensor for name, tensor in parts.items()}
