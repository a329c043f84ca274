"""A projector of random weights for the tiny chat model, and pictures to look at.

LLaVA's kind, the simplest that llama.cpp loads (clip.cpp, models/llava.cpp): a picture is made 32
pixels wide and high, cut into 16 patches, and each becomes a token.
"""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.models import TINY

PATCHES, PATCH, WIDTH, FEED_FORWARD, LAYERS = 16, 8, 64, 128, 2
SIDE = 32


def write_tiny_projector(path: Path, *, seed: int = 0) -> Path:
    """Write a projector of about 400 kB to ``path``; the same ``seed`` gives the same bytes."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_projection_dim(TINY.width)
    writer.add_vision_image_size(SIDE)
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(WIDTH)
    writer.add_vision_feed_forward_length(FEED_FORWARD)
    writer.add_vision_block_count(LAYERS)
    writer.add_vision_head_count(2)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_use_gelu(True)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    for name, tensor in _tensors(np.random.default_rng(seed)).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(random: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    def normal(*shape: int, spread: float = 0.2) -> NDArray[np.float32]:
        return random.normal(0.0, spread, shape).astype(np.float32)

    tensors = {
        "v.patch_embd.weight": normal(WIDTH, 3, PATCH, PATCH),
        "v.position_embd.weight": normal(PATCHES, WIDTH),
        "mm.0.weight": normal(TINY.width, WIDTH),
        "mm.0.bias": normal(TINY.width),
        "mm.2.weight": normal(TINY.width, TINY.width),
        "mm.2.bias": normal(TINY.width),
    }
    for block in (f"v.blk.{layer}." for layer in range(LAYERS)):
        for norm in ("ln1", "ln2"):
            tensors[f"{block}{norm}.weight"] = np.ones(WIDTH, np.float32)
            tensors[f"{block}{norm}.bias"] = np.zeros(WIDTH, np.float32)
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors[f"{block}{part}.weight"] = normal(WIDTH, WIDTH)
            tensors[f"{block}{part}.bias"] = normal(WIDTH)
        tensors[f"{block}ffn_up.weight"] = normal(FEED_FORWARD, WIDTH)
        tensors[f"{block}ffn_up.bias"] = normal(FEED_FORWARD)
        tensors[f"{block}ffn_down.weight"] = normal(WIDTH, FEED_FORWARD)
        tensors[f"{block}ffn_down.bias"] = normal(WIDTH)
    return tensors


def png(seed: int, width: int = SIDE, height: int = SIDE) -> bytes:
    """A picture of random colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width * 3), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def url(picture: bytes, kind: str = "png") -> str:
    """``picture`` as a data: URL."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
