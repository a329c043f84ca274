"""A bare llama-cpp-python loop that embeds texts one after the other, in a process of its own:
``python -m tests.bench.loop MODEL TEXTS.json`` prints the seconds it took.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from pathlib import Path

from goni_core import paths
from goni_core.contract import EMBEDDING_CONTEXT


def main() -> None:
    libraries = paths.engine_dir() / "lib"
    os.environ["LLAMA_CPP_LIB_PATH"] = str(libraries)
    backends = ctypes.CDLL(str(libraries / "libggml.so"))
    backends.ggml_backend_load_all_from_path(ctypes.c_char_p(os.fsencode(libraries)))
    from llama_cpp import Llama  # noqa: PLC0415 - only after its libraries were found

    model, texts = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    cores = len(os.sched_getaffinity(0))
    llama = Llama(
        model_path=model,
        embedding=True,
        n_ctx=512,
        n_batch=512,
        n_threads=cores,
        n_threads_batch=cores,
        verbose=False,
    )
    llama.embed("warm up")
    begun = time.perf_counter()
    for text in texts:
        tokens = llama.tokenize(text.encode())[: EMBEDDING_CONTEXT - 2]
        llama.embed(llama.detokenize(tokens).decode(errors="ignore"))
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
