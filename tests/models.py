"""Chat models small enough for every test: real GGUF, real llama architecture.

The tiny one has random weights. Nothing it says means anything, but it says it as any model does:
its tokens are bytes and printable characters, it has a chat template and an end token, its answer
depends on the whole prompt and on nothing else. It speaks lower-case letters, spaces and full stops
only. The reciting one says the same sentence to everything.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shape:
    """The sizes of a llama model."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int


TINY = Shape(width=128, layers=2, heads=2, kv_heads=1, feed_forward=256)
WORKING = Shape(width=768, layers=8, heads=12, kv_heads=4, feed_forward=3072)
"""70 million parameters, so that decoding is real work. In 32 bits: with 16, rounding differs so
much between one stream and several that answers would too."""
SPECIAL = ("<unk>", "<s>", "<|im_end|>", "<|im_start|>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
CHARACTERS = tuple("\u2581" + string.ascii_letters + string.digits + string.punctuation)
TOKENS = SPECIAL + BYTES + CHARACTERS
SPOKEN = ("\u2581", *string.ascii_lowercase, ".", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL_TEMPLATE = (
    "{% if tools %}<|im_start|>system\nYou may call these functions:\n<tools>\n"
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}</tools>\n"
    'Call one with <tool_call>\n{"name": <name>, "arguments": <arguments>}\n</tool_call>'
    "<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] %}{{ message['content'] }}{% endif %}"
    "{% if message['tool_calls'] %}{% for call in message['tool_calls'] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As :data:`TEMPLATE`, for a model that calls tools in the common way."""
CALL = (
    "<tool_call>\n",
    '{"name":\u2581',
    '"light",\u2581',
    '"arguments":\u2581',
    '{"answer":\u2581',
    '"yes"',
    "}}",
    "\n</tool_call>",
)
"""The tokens of a call of the function ``light``, as the template shows it."""
RECITED = (
    "I am the tests' model and only know this sentence; a real one would answer from your "
    "passage below."
)
"""No word twice: what comes next depends on the last word alone."""


def write_tiny_chat_model(
    path: Path, *, seed: int = 0, context: int = 16384, template: str = TEMPLATE
) -> Path:
    """Write a model of about 1.4 MB to ``path``; the same ``seed`` gives the same bytes."""
    tensors = _tensors(np.random.default_rng(seed), len(TOKENS))
    _limit_speech(tensors, SPOKEN)
    return _write(path, TOKENS, tensors, context, template)


def write_working_model(path: Path, *, seed: int = 0, context: int = 4096) -> Path:
    """Write a model of 70 million parameters (278 MB) to ``path``. It speaks as the
    tiny one does, a character per token, and never ends an answer by itself.
    """
    tensors = _tensors(np.random.default_rng(seed), len(TOKENS), WORKING)
    _limit_speech(tensors, [token for token in SPOKEN if token not in SPECIAL])
    return _write(path, TOKENS, tensors, context, shape=WORKING)


def write_reciting_model(path: Path, *, endless: bool = False, context: int = 16384) -> Path:
    """Write a model to ``path`` that answers :data:`RECITED`, a word per token; an ``endless`` one
    begins anew each time.
    """
    words = tuple(f"\u2581{word}" for word in RECITED.split())
    return _write_reciting(path, words, endless=endless, context=context)


def write_silent_model(path: Path) -> Path:
    """Write a model to ``path`` that ends each answer before its first word."""
    words = tuple(f"\u2581{word}" for word in RECITED.split())
    return _write_reciting(path, words, endless=True, silent=True, context=16384)


def write_calling_model(path: Path) -> Path:
    """Write a model to ``path`` that answers :data:`CALL` where it was given tools."""
    return _write_reciting(path, CALL, endless=False, context=16384, template=TOOL_TEMPLATE)


def _write_reciting(
    path: Path,
    words: tuple[str, ...],
    *,
    endless: bool,
    context: int,
    silent: bool = False,
    template: str = TEMPLATE,
) -> Path:
    tensors = _tensors(np.random.default_rng(0), len(TOKENS) + len(words))
    _mute_layers(tensors)
    embeddings, output = tensors["token_embd.weight"], tensors["output.weight"]
    embeddings[:], output[:] = 0.0, 0.0
    # Dimension n stands for "the nth word comes next", and the prompt's every token for n = 0.
    embeddings[: len(TOKENS), 0] = 1.0
    for place in range(len(words)):
        embeddings[len(TOKENS) + place, place + 1] = 1.0
        output[len(TOKENS) + place, place] = 4.0
    after_the_last = len(TOKENS) if endless else TOKENS.index("<|im_end|>")
    output[after_the_last, len(words)] = 4.0
    if silent:
        output[TOKENS.index("<|im_end|>"), 0] = 8.0
    return _write(path, TOKENS + words, tensors, context, template)


def _write(
    path: Path,
    tokens: tuple[str, ...],
    tensors: dict[str, NDArray[np.float32]],
    context: int,
    template: str = TEMPLATE,
    shape: Shape = TINY,
    architecture: str = "llama",
    more: Callable[[gguf.GGUFWriter], None] = lambda _: None,
) -> Path:
    """``more`` adds what only this architecture has."""
    writer = gguf.GGUFWriter(path, architecture)
    _add_parameters(writer, context, len(tokens), shape)
    more(writer)
    _add_vocabulary(writer, tokens)
    writer.add_chat_template(template)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_parameters(writer: gguf.GGUFWriter, context: int, vocabulary: int, shape: Shape) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("tiny" if shape is TINY else "working")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_vocab_size(vocabulary)


def _add_vocabulary(writer: gguf.GGUFWriter, tokens: tuple[str, ...]) -> None:
    kinds = gguf.TokenType
    special = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, kinds.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(tokens))
    writer.add_token_scores([0.0] * len(tokens))
    normal = [kinds.NORMAL] * (len(tokens) - len(SPECIAL) - len(BYTES))
    writer.add_token_types(special + [kinds.BYTE] * len(BYTES) + normal)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)


def _tensors(
    random: np.random.Generator, vocabulary: int, shape: Shape = TINY
) -> dict[str, NDArray[np.float32]]:
    # Wider sums would be larger ones: the spread keeps every product at the tiny model's size.
    narrow = (TINY.width / shape.width) ** 0.5
    flat = (TINY.feed_forward / shape.feed_forward) ** 0.5
    width, feed_forward = shape.width, shape.feed_forward

    def matrix(rows: int, columns: int, spread: float) -> NDArray[Any]:
        return random.normal(0.0, spread, (rows, columns)).astype(np.float32)

    ones = np.ones(width, np.float32)
    kv_width = width // shape.heads * shape.kv_heads
    tensors = {"token_embd.weight": matrix(vocabulary, width, 0.5), "output_norm.weight": ones}
    tensors["output.weight"] = matrix(vocabulary, width, 0.3 * narrow)
    for block in (f"blk.{layer}." for layer in range(shape.layers)):
        tensors |= {
            f"{block}attn_norm.weight": ones,
            f"{block}attn_q.weight": matrix(width, width, 0.2 * narrow),
            f"{block}attn_k.weight": matrix(kv_width, width, 0.2 * narrow),
            f"{block}attn_v.weight": matrix(kv_width, width, 0.2 * narrow),
            f"{block}attn_output.weight": matrix(width, width, 0.1 * narrow),
            f"{block}ffn_norm.weight": ones,
            f"{block}ffn_gate.weight": matrix(feed_forward, width, 0.1 * narrow),
            f"{block}ffn_up.weight": matrix(feed_forward, width, 0.1 * narrow),
            f"{block}ffn_down.weight": matrix(width, feed_forward, 0.1 * flat),
        }
    return tensors


def _limit_speech(tensors: dict[str, NDArray[np.float32]], spoken: Sequence[str]) -> None:
    """Make all tokens but ``spoken`` as good as impossible.

    The first dimension is the same for every token and no layer reads or writes it, so that its
    column in the output matrix is a bias, which the llama architecture hasn't got.
    """
    tensors["token_embd.weight"][:, 0] = 8.0
    for name, tensor in tensors.items():
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            tensor[0] = 0.0
        elif name.endswith(("q.weight", "k.weight", "v.weight", "gate.weight", "up.weight")):
            tensor[:, 0] = 0.0
    bias = 4.0 * (tensors["output.weight"].shape[1] / TINY.width) ** 0.5
    possible = [token in spoken for token in TOKENS]
    tensors["output.weight"][:, 0] = np.where(possible, bias, -bias)


def _mute_layers(tensors: dict[str, NDArray[np.float32]]) -> None:
    """Make every layer add nothing, so that the output sees the last token alone."""
    for name, tensor in tensors.items():
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            tensor[:] = 0.0
