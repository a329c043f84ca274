"""``python -m llama_cpp.server`` as it is, on our build of llama.cpp, whose backends have to be
loaded before the first model (native.py).
"""

from __future__ import annotations

import ctypes
import os
import runpy

from goni_core import paths


def main() -> None:
    libraries = paths.engine_dir() / "lib"
    os.environ["LLAMA_CPP_LIB_PATH"] = str(libraries)
    ggml = ctypes.CDLL(str(libraries / "libggml.so"))
    ggml.ggml_backend_load_all_from_path(ctypes.c_char_p(os.fsencode(libraries)))
    runpy.run_module("llama_cpp.server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
