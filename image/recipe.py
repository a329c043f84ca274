"""How llama.cpp and its Python package are built from the unpacked source distribution.

One CMake build of llama.cpp's own tree gives the programs, the libraries and the backends; the
Python package is then built without libraries and finds those. Nothing is fetched here, and nothing
of the build machine (paths, times, a surrounding git checkout) gets into the result.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import GoniError
from goni_core.run import missing, run, stream
from image import locked

HERE = Path(__file__).parent
LOCK = HERE / "engine.lock"
BACKEND_LOCK = HERE / "engine-backend.lock"

VARIANTS = ("x64", "haswell", "zen4")
"""CPU variants: any x86-64, AVX2 (and QEMU's emulation), AVX-512. llama.cpp has eleven more."""
PROGRAMS = ("llama-server", "llama-bench", "ggml-rpc-server")
NINJA_TARGETS = (*PROGRAMS, "mtmd")
"""``mtmd`` is for the Python package; the libraries and backends come as their dependencies."""

OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "ON",
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN;$ORIGIN/../lib",
    "GGML_NATIVE": "OFF",
    "GGML_CCACHE": "OFF",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "GGML_RPC": "ON",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    # The web page is Goni's own; llama.cpp's would be downloaded at build time.
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    # TLS and downloads are other services' work, and the engine starts no processes.
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_SUBPROCESS": "OFF",
    "LLAMA_BUILD_IS_DEV": "OFF",
    "LLAMA_BUILD_NUMBER": "0",
}
HARDENING = "-fstack-protector-strong -D_FORTIFY_SOURCE=2"
LINKING = "-Wl,-z,relro,-z,now"
REPRODUCIBLE = {
    "SOURCE_DATE_EPOCH": "1735689600",
    # Else CMake asks git for a commit, and finds that of whatever checkout it is built in.
    "GIT_DIR": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
BUILD_WHEEL = (
    "import sys; from scikit_build_core.build import build_wheel; "
    "build_wheel(sys.argv[1], {'cmake.define.LLAMA_BUILD': 'OFF'})"
)


@dataclass(frozen=True)
class Target:
    """Where the engine will run, and what building it there takes beyond :data:`OPTIONS`.

    ``programs`` are looked for on PATH; ``headers`` name the Debian package of each file.
    """

    name: str
    options: Mapping[str, str]
    programs: tuple[str, ...] = ("cmake", "ninja", "gcc", "g++", "strip", "tar")
    headers: tuple[tuple[str, str], ...] = ()


HOST = Target("host", {})
IMAGE = Target(
    "image",
    {"GGML_VULKAN": "ON"},
    programs=(*HOST.programs, "glslc"),
    headers=(
        ("/usr/include/vulkan/vulkan.h", "libvulkan-dev"),
        ("/usr/include/spirv/unified1/spirv.hpp", "spirv-headers"),
    ),
)
TARGETS = {target.name: target for target in (HOST, IMAGE)}


def search_path() -> str:
    """PATH, and after it this Python's own programs: CMake and Ninja may come from a venv."""
    return f"{os.environ.get('PATH', os.defpath)}:{Path(sys.prefix) / 'bin'}"


def check_tools(target: Target) -> None:
    """Raise the error that names the Debian package of the first thing missing."""
    for program in target.programs:
        if shutil.which(program, path=search_path()) is None:
            raise missing(program)
    for header, package in target.headers:
        if not Path(header).exists():
            raise GoniError(f"{header} is missing", hint=f"apt-get install {package}")


def build(target: Target, work: Path, *, sources: Path, jobs: int) -> None:
    """Build for ``target`` from the files in ``sources``; the result is in ``work/result``.

    What an earlier, interrupted call left in ``work`` is used.
    """
    source = _unpack(sources, work)
    _compile(target, source / "vendor/llama.cpp", work, jobs)
    shutil.rmtree(work / "result", ignore_errors=True)
    _collect(work / "build/bin", work / "result")
    _collect_python(source, sources, work)
    # Proves that the programs find their libraries where they are now.
    run([work / "result/bin/llama-server", "--version"], timeout=60)


def _unpack(sources: Path, work: Path) -> Path:
    """The source tree, with :data:`VARIANTS` only, in ``work/source``."""
    source = work / "source"
    archive = locked.find(LOCK, sources)["llama-cpp-python"]
    if not source.exists():
        part = work / "source.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        run(
            ["tar", "-xzf", archive.absolute(), "--strip-components=1", "--no-same-owner"],
            cwd=part,
            timeout=300,
        )
        listing = part / "vendor/llama.cpp/ggml/src/CMakeLists.txt"
        listing.write_text(cut_variants(listing.read_text()))
        part.rename(source)
    return source


def cut_variants(listing: str) -> str:
    """``ggml/src/CMakeLists.txt`` without the CPU variants that Goni doesn't ship.

    llama.cpp can build one variant or all fourteen, and its library depends on each of them.
    """
    call = re.compile(r"^ *ggml_add_cpu_backend_variant\((\w+)\b[^)]*\)\n", re.MULTILINE)
    found = {match[1] for match in call.finditer(listing)}
    if absent := set(VARIANTS) - found:
        raise GoniError(f"llama.cpp no longer has the CPU variant {sorted(absent)[0]}")
    return call.sub(lambda match: match[0] if match[1] in VARIANTS else "", listing)


def configuration(target: Target, tree: Path, build: Path) -> list[str]:
    """The words that configure llama.cpp's ``tree`` in the folder ``build``."""
    mapped = f"-ffile-prefix-map={tree}=llama.cpp -ffile-prefix-map={build}=build"
    (pin,) = locked.pins(LOCK.read_text())
    options = {
        **OPTIONS,
        **target.options,
        "LLAMA_BUILD_COMMIT": f"{pin.name}-{pin.version}",
        **{f"CMAKE_{language}_FLAGS": f"{mapped} {HARDENING}" for language in ("C", "CXX")},
        **{f"CMAKE_{kind}_LINKER_FLAGS": LINKING for kind in ("EXE", "SHARED", "MODULE")},
    }
    defined = [f"-D{name}={value}" for name, value in options.items()]
    return ["cmake", "-G", "Ninja", "-S", str(tree), "-B", str(build), *defined]


def _compile(target: Target, tree: Path, work: Path, jobs: int) -> None:
    build = work / "build"
    env = {**REPRODUCIBLE, "PATH": search_path()}
    stream(configuration(target, tree, build), timeout=600, env=env)
    stream(["ninja", "-C", build, f"-j{jobs}", *NINJA_TARGETS], timeout=4 * 3600, env=env)


def _collect(built: Path, result: Path) -> None:
    """Programs into ``bin/``, libraries into ``lib/``, stripped.

    llama.cpp looks for its backends beside the running program, so ``bin/`` has links to them.
    """
    (result / "bin").mkdir(parents=True)
    (result / "lib").mkdir()
    for name in PROGRAMS:
        shutil.copy2(built / name, result / "bin" / name)
    for library in sorted(built.glob("lib*.so*")):
        shutil.copy2(library, result / "lib" / library.name, follow_symlinks=False)
    for name in backends(path.name for path in built.glob("lib*.so")):
        (result / "bin" / name).symlink_to(f"../lib/{name}")
    real = [path for path in sorted(result.glob("*/*")) if not path.is_symlink()]
    run(["strip", "--strip-unneeded", *real], timeout=120)


def backends(libraries: Iterable[str]) -> list[str]:
    """Which of ``libraries`` llama.cpp loads by itself at run time."""
    return sorted(
        name for name in libraries if re.fullmatch(r"libggml-(cpu-\w+|rpc|vulkan)\.so", name)
    )


def _collect_python(source: Path, sources: Path, work: Path) -> None:
    """The package ``llama_cpp`` with its metadata, on the libraries in ``lib/``."""
    wheels, python = work / "wheels", work / "result/python"
    locked.unpack_wheels(BACKEND_LOCK, sources, work / "backend")
    env = {**REPRODUCIBLE, "PATH": search_path(), "PYTHONPATH": str(work / "backend")}
    run([sys.executable, "-P", "-c", BUILD_WHEEL, wheels], cwd=source, env=env, timeout=300)
    (wheel,) = wheels.glob("llama_cpp_python-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(python)
    # LLAMA_CPP_LIB_PATH would reach only one of the three modules that load a library.
    (python / "llama_cpp/lib").symlink_to("../../lib")
