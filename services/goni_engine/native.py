"""The one door to llama.cpp's library: loads an embedding model and computes vectors.

Blocking, one thread at a time; ``embedder`` is the asynchronous side. The CPU computes embeddings
even where there is a GPU: indexing then takes nothing from chat, and a failing driver can't take
this process down. Binding: llama-cpp-python's ``llama_cpp.llama_cpp``.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goni_core.errors import GoniError

log = logging.getLogger(__name__)

BATCH_TOKENS = 512
"""Tokens that are computed at once, of as many texts as fit; in larger batches more is spent on
masking the texts from each other than is won."""
BATCH_TEXTS = 64
_ERROR = 4
"""ggml's log level (ggml.h)."""
_kept: list[Any] = []
"""Callbacks that the C side holds for the life of this process."""


def library(folder: Path) -> Any:
    """llama-cpp-python's C interface on the libraries in ``folder``, with all backends loaded."""
    os.environ["LLAMA_CPP_LIB_PATH"] = str(folder)  # read when the binding is imported
    try:
        llama_cpp = _binding()
        ggml = ctypes.CDLL(str(folder / "libggml.so"))
    except (ImportError, OSError, RuntimeError) as error:
        raise GoniError(
            f"llama.cpp's libraries can't be loaded from {folder}",
            hint="build the engine: make engine",
            code="engine_missing",
        ) from error
    if not _kept:
        _kept.append(llama_cpp.llama_log_callback(_log))
        llama_cpp.llama_log_set(_kept[0], ctypes.c_void_p(0))
        ggml.ggml_backend_load_all_from_path(ctypes.c_char_p(os.fsencode(folder)))
        llama_cpp.llama_backend_init()
    return llama_cpp


def _binding() -> Any:
    """The module ``llama_cpp.llama_cpp`` without its package's ``__init__``, which would pull in
    chat formats and a disk cache of pickles that nothing here uses.
    """
    if "llama_cpp.llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("llama_cpp")
        package = ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["llama_cpp"] = package
    return importlib.import_module("llama_cpp.llama_cpp")


def _log(level: int, text: bytes, _data: object) -> None:
    if level == _ERROR:
        log.error("llama.cpp: %s", text.decode("utf-8", errors="replace").strip()[:300])


class Encoder:
    """An embedding model in memory. Not for two threads at once."""

    def __init__(self, libraries: Path, model: Path, *, context: int, threads: int) -> None:
        """Load ``model``, cutting texts at ``context`` tokens; :class:`GoniError` if it can't
        be.
        """
        self._llama = library(libraries)
        self._context_limit = context
        self._model = self._load(model)
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        self.dimensions = int(self._llama.llama_model_n_embd(self._model))
        self._context = self._open(threads)
        self._batch = self._llama.llama_batch_init(BATCH_TOKENS, 0, 1)

    def close(self) -> None:
        """Free the model's memory."""
        self._llama.llama_batch_free(self._batch)
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)

    def tokens(self, text: str) -> tuple[list[int], bool]:
        """``text`` as tokens with the model's end marks, and whether it had to be cut."""
        data = text.encode("utf-8", errors="replace")
        room = len(data) + 8
        found = (self._llama.llama_token * room)()
        count = self._llama.llama_tokenize(
            self._vocabulary, data, len(data), found, room, True, False
        )
        if count < 0:
            raise GoniError("the embedding model's tokenizer failed")
        limit = self._context_limit
        if count <= limit:
            return list(found[:count]), False
        return [*found[: limit - 1], found[count - 1]], True

    def vectors(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Unit vectors of up to :data:`BATCH_TEXTS` texts (:data:`BATCH_TOKENS` tokens together),
        one row each.
        """
        self._fill(texts)
        status = self._llama.llama_encode(self._context, self._batch)
        if status != 0:
            raise GoniError(f"llama.cpp could not compute embeddings (status {status})")
        rows = np.stack([self._row(number) for number in range(len(texts))])
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.all(np.isfinite(rows)) or not np.all(lengths > 0):
            raise GoniError("llama.cpp computed an embedding that is not a number")
        unit: NDArray[np.float32] = (rows / lengths).astype(np.float32)
        return unit

    def _load(self, model: Path) -> Any:
        options = self._llama.llama_model_default_params()
        no_devices = (ctypes.c_void_p * 1)(None)
        options.devices = ctypes.cast(no_devices, ctypes.c_void_p)
        options.n_gpu_layers = 0
        loaded = self._llama.llama_model_load_from_file(os.fsencode(model), options)
        if not loaded:
            raise GoniError(
                f"llama.cpp can't load {model.name}", hint="the file may be damaged or missing"
            )
        return loaded

    def _open(self, threads: int) -> Any:
        options = self._llama.llama_context_default_params()
        options.n_ctx = BATCH_TOKENS
        options.n_batch = options.n_ubatch = BATCH_TOKENS
        options.n_seq_max = BATCH_TEXTS
        options.kv_unified = True
        options.n_threads = options.n_threads_batch = threads
        options.embeddings = True
        options.offload_kqv = options.op_offload = False
        opened = self._llama.llama_init_from_model(self._model, options)
        if not opened:
            raise GoniError("llama.cpp can't make a context for embeddings")
        return opened

    def _fill(self, texts: Sequence[Sequence[int]]) -> None:
        batch, at = self._batch, 0
        for sequence, tokens in enumerate(texts):
            for position, token in enumerate(tokens):
                batch.token[at] = token
                batch.pos[at] = position
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = sequence
                batch.logits[at] = 1
                at += 1
        batch.n_tokens = at

    def _row(self, sequence: int) -> NDArray[np.float32]:
        pointer = self._llama.llama_get_embeddings_seq(self._context, sequence)
        if not pointer:
            raise GoniError("llama.cpp gave no embedding: the model does not pool")
        return np.array(pointer[: self.dimensions], dtype=np.float32)
