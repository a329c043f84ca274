"""The engine as built for this machine, and the decisions of its build."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from goni_core.errors import DiskFull, GoniError
from goni_core.run import run
from image import engine, recipe
from tests.models import write_tiny_chat_model

OUTPUT = Path("out/engine/host").absolute()
LISTING = """\
if (GGML_CPU_ALL_VARIANTS)
        ggml_add_cpu_backend_variant(x64)
        ggml_add_cpu_backend_variant(sse42              SSE42)
            ggml_add_cpu_backend_variant(haswell        SSE42 AVX F16C FMA AVX2 BMI2)
        ggml_add_cpu_backend_variant(zen4               AVX512)
        ggml_add_cpu_backend_variant(alderlake          AVX_VNNI)
endif()
function(ggml_add_cpu_backend_variant tag_name)
"""
LOAD_ALL = """\
import ctypes, pathlib, sys
import llama_cpp
lib = pathlib.Path(llama_cpp.__file__).parent / "lib"
ggml = ctypes.CDLL(str(lib / "libggml.so"))
ggml.ggml_backend_load_all_from_path(str(lib).encode())
ggml.ggml_backend_dev_name.restype = ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(("ggml_backend_dev_name", ggml))
print(llama_cpp.__version__, *(
    name(ggml.ggml_backend_dev_get(ctypes.c_size_t(i))).decode()
    for i in range(ggml.ggml_backend_dev_count())
))
import llama_cpp.mtmd_cpp
"""


def binaries() -> list[Path]:
    found = [path for path in OUTPUT.glob("*/*") if path.parent.name in ("bin", "lib")]
    real = [path for path in found if not path.is_symlink()]
    assert len(real) > 10
    return real


def test_the_engine_of_this_checkout_is_the_recipe_s() -> None:
    assert engine.complete(OUTPUT, engine.key(recipe.HOST)), "run make setup"


def test_a_second_build_does_nothing() -> None:
    before, started = (OUTPUT / "key").stat(), time.monotonic()
    engine.ensure(recipe.HOST, OUTPUT)
    assert (OUTPUT / "key").stat().st_mtime_ns == before.st_mtime_ns
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("program", recipe.PROGRAMS)
def test_programs_start_from_any_folder(program: str, tmp_path: Path) -> None:
    done = run([OUTPUT / "bin" / program, "--help"], cwd=tmp_path, timeout=30, check=False)
    assert b"usage" in (done.stdout + done.stderr).lower()
    assert b"error while loading" not in done.stderr


def test_programs_find_a_cpu_backend_and_compute(tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    words = ["-p", "16", "-n", "16", "-r", "1", "-t", "1", "-o", "json"]
    done = run([OUTPUT / "bin/llama-bench", "-m", model, *words], timeout=60)
    assert all(entry["avg_ts"] > 0 for entry in json.loads(done.stdout))


def test_the_server_names_its_pinned_origin() -> None:
    done = run([OUTPUT / "bin/llama-server", "--version"], timeout=30)
    assert b"llama-cpp-python-0.3.36" in done.stdout + done.stderr


def test_python_finds_the_same_libraries_and_backends(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(OUTPUT / "python")}
    done = run([sys.executable, "-c", LOAD_ALL], cwd=tmp_path, env=env, timeout=60)
    version, *devices = done.text.split()
    assert version == "0.3.36"
    assert "CPU" in devices


def test_the_python_package_has_its_metadata(tmp_path: Path) -> None:
    code = "from importlib.metadata import version; print(version('llama-cpp-python'))"
    env = {"PYTHONPATH": str(OUTPUT / "python")}
    done = run([sys.executable, "-c", code], cwd=tmp_path, env=env, timeout=30)
    assert done.text.strip() == "0.3.36"


def test_the_shipped_cpu_variants_are_there_and_no_other() -> None:
    found = {path.name for path in (OUTPUT / "lib").glob("libggml-cpu*.so")}
    assert found == {f"libggml-cpu-{variant}.so" for variant in recipe.VARIANTS}


def test_backends_lie_beside_the_programs() -> None:
    for name in recipe.backends(path.name for path in (OUTPUT / "lib").iterdir()):
        assert (OUTPUT / "bin" / name).resolve() == (OUTPUT / "lib" / name).resolve()


def test_nothing_of_the_build_machine_is_in_the_result() -> None:
    for path in binaries():
        data = path.read_bytes()
        assert os.fsencode(Path.cwd()) not in data, path.name
        assert b"/source/vendor/llama.cpp" not in data, path.name


def test_the_engine_links_no_network_or_tls_library() -> None:
    for path in binaries():
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run(["readelf", "-d", path], timeout=30).text)
        assert needed
        assert not [name for name in needed if re.match(r"lib(ssl|crypto|curl)", name)], path.name


def test_binaries_are_stripped_and_hardened() -> None:
    for path in binaries():
        said = run(["readelf", "-SdW", path], timeout=30).text
        assert ".symtab" not in said and ".debug_info" not in said, path.name
        assert "BIND_NOW" in said or "NOW" in said, path.name


def test_no_library_is_there_twice() -> None:
    assert len({path.name for path in binaries()}) == len(binaries())


def test_key_depends_on_the_target() -> None:
    assert engine.key(recipe.HOST) == engine.key(recipe.HOST)
    assert engine.key(recipe.HOST) != engine.key(recipe.Target("image", {}))


def test_key_keeps_its_parts_apart() -> None:
    assert engine.key_of(b"ab", b"c") != engine.key_of(b"a", b"bc")


def test_a_folder_with_another_key_is_not_complete(tmp_path: Path) -> None:
    assert not engine.complete(tmp_path, "a")
    (tmp_path / "key").write_text("b")
    assert not engine.complete(tmp_path, "a")
    (tmp_path / "key").write_text("a")
    assert engine.complete(tmp_path, "a")


def test_system_is_read_from_os_release() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'
    assert engine.system(text) == "debian 13"
    assert engine.system("ID=arch\n") == "arch "


def test_unwanted_cpu_variants_are_cut() -> None:
    cut = recipe.cut_variants(LISTING)
    assert re.findall(r"variant\((\w+)", cut) == ["x64", "haswell", "zen4"]
    assert "function(ggml_add_cpu_backend_variant tag_name)" in cut
    assert cut.startswith("if (GGML_CPU_ALL_VARIANTS)") and "endif()" in cut


def test_a_source_without_a_wanted_variant_is_refused() -> None:
    with pytest.raises(GoniError, match="no longer has the CPU variant zen4"):
        recipe.cut_variants(LISTING.replace("zen4", "zen5"))


def test_only_the_image_is_configured_with_vulkan(tmp_path: Path) -> None:
    image = recipe.configuration(recipe.IMAGE, tmp_path, tmp_path)
    assert "-DGGML_VULKAN=ON" in image
    assert set(image) - set(recipe.configuration(recipe.HOST, tmp_path, tmp_path)) == {
        "-DGGML_VULKAN=ON"
    }


def test_backends_are_told_from_libraries() -> None:
    names = ("libggml.so", "libggml-base.so", "libggml-rpc.so", "libggml-cpu-x64.so", "libllama.so")
    assert recipe.backends(names) == ["libggml-cpu-x64.so", "libggml-rpc.so"]


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "prefix", "/nonexistent")
    with pytest.raises(GoniError) as caught:
        engine.ensure(recipe.HOST, OUTPUT)
    assert "cmake is not installed" in str(caught.value)
    assert caught.value.hint == "apt-get install cmake"


def test_a_missing_header_names_its_package() -> None:
    target = recipe.Target("image", {}, headers=(("/nonexistent/vulkan.h", "libvulkan-dev"),))
    with pytest.raises(GoniError) as caught:
        recipe.check_tools(target)
    assert caught.value.hint == "apt-get install libvulkan-dev"


def test_too_little_room_is_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROOM", 1 << 60)
    with pytest.raises(DiskFull, match="the engine needs"):
        engine.ensure(recipe.HOST, tmp_path / "host", sources=tmp_path / "sources")
    assert not (tmp_path / "sources").exists()
    assert not (tmp_path / "host").exists()


def test_a_build_without_network_says_so_and_keeps_the_old_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/key").write_text("of an older recipe")
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", ""), ("CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(GoniError, match="could not be fetched"):
        engine.ensure(recipe.HOST, tmp_path / "host", sources=tmp_path / "sources")
    assert (tmp_path / "host/key").read_text() == "of an older recipe"


def test_a_workplace_of_another_recipe_is_removed(tmp_path: Path) -> None:
    stale, same = (tmp_path / f".host.{letter * 16}" for letter in "ab")
    for folder in (stale, same, tmp_path / ".hostile"):
        folder.mkdir()
    assert engine._workplace(tmp_path / "host", "b" * 64) == same
    assert sorted(path.name for path in tmp_path.iterdir()) == [same.name, ".hostile"]


def test_a_result_replaces_the_old_engine_whole(tmp_path: Path) -> None:
    for folder, name in (("host", "old"), ("work/result", "new")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).touch()
    engine._replace(tmp_path / "host", tmp_path / "work")
    assert [path.name for path in (tmp_path / "host").iterdir()] == ["new"]
    assert not (tmp_path / "work").exists()


def test_linking_lets_a_virtual_environment_import_the_package(tmp_path: Path) -> None:
    packages = tmp_path / "venv/lib/python3.13/site-packages"
    packages.mkdir(parents=True)
    engine.link_into(tmp_path / "venv", OUTPUT)
    assert (packages / "goni-engine.pth").read_text() == f"{OUTPUT}/python\n"


def test_linking_refuses_what_is_not_a_virtual_environment(tmp_path: Path) -> None:
    with pytest.raises(GoniError, match="not a virtual environment"):
        engine.link_into(tmp_path, OUTPUT)


def test_command_line_wants_an_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        engine.arguments([])
    assert "--output or --fetch is required" in capsys.readouterr().err
