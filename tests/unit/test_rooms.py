"""Who may import what: the rooms and their single doors, read from every service's source."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = "goni_core"
ROOMS = {
    path.name: path
    for path in (*sorted((ROOT / "services").glob("goni_*")), ROOT / "goni_firstboot")
}
PROCESSES = ("subprocess", "multiprocessing", "pty")
STARTERS = ("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec")
OS_STARTERS = ("system", "popen", "fork", "forkpty", "posix_spawn", "startfile")
OUTBOUND = ("httpx", "requests", "urllib.request", "http.client", "urllib3")
DOORS = (
    *((module, "goni_core/run.py") for module in PROCESSES),
    ("aiohttp", "goni_core/http.py"),
    *((module, "goni_core/outside.py") for module in OUTBOUND),
    ("llama_cpp", "goni_engine/"),
    ("cryptography", "goni_mesh/"),
    ("tuf", "goni_update/"),
    ("securesystemslib", "goni_update/"),
)
"""A module, and the start of the only paths below a room's parent that may import it."""


@functools.cache
def sources() -> dict[str, ast.Module]:
    """Every Python file of the rooms, as ``goni_core/run.py``, and its tree."""
    return {
        path.relative_to(room.parent).as_posix(): ast.parse(path.read_text("utf-8"))
        for room in ROOMS.values()
        for path in sorted(room.rglob("*.py"))
    }


def imports(tree: ast.Module) -> set[str]:
    """The full name of everything that is imported anywhere in a file: modules, and what is taken
    from them (``a.b`` for ``from a import b``, which may be a module).
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            found |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
    return found


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def users(module: str) -> set[str]:
    """The files that import ``module`` or something of it."""
    return {
        path
        for path, tree in sources().items()
        if any(f"{name}.".startswith(f"{module}.") for name in imports(tree))
    }


def test_every_room_is_looked_at() -> None:
    assert {CORE, "goni_engine", "goni_rag", "goni_gateway", "goni_mesh"} <= ROOMS.keys()
    assert "goni_firstboot" in ROOMS
    assert len(sources()) > 50


def test_imports_in_every_form_are_seen() -> None:
    text = "import a.b\nfrom c import d\ndef f():\n import e as g\nimportlib.import_module('h.i')\n"
    assert imports(ast.parse(text)) == {"a.b", "c.d", "e", "h.i"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_nothing_of_goni_but_the_core_and_itself(room: str) -> None:
    allowed = {CORE, room}
    for path, tree in sources().items():
        if path.startswith(f"{room}/"):
            named = {name.split(".")[0] for name in imports(tree)}
            ours = {name for name in named if name.startswith("goni") or name in ("image", "tests")}
            assert ours <= allowed, path


@pytest.mark.parametrize(("module", "door"), DOORS)
def test_a_module_is_imported_behind_its_door_only(module: str, door: str) -> None:
    assert {path for path in users(module) if not path.startswith(door)} == set()


@pytest.mark.parametrize("door", ["goni_core/run.py", "goni_core/http.py", "goni_core/outside.py"])
def test_a_door_is_one_that_is_used(door: str) -> None:
    used = {path for module, behind in DOORS if behind == door for path in users(module)}
    assert used == {door}


def test_processes_start_in_one_place() -> None:
    for path, tree in sources().items():
        if path != "goni_core/run.py":
            called = {_called(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            assert not called & set(STARTERS), path
            assert not _of_os(tree) & set(OS_STARTERS), path


def _of_os(tree: ast.Module) -> set[str]:
    """What a file uses of the module os; the exec and spawn families under one name."""
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    names |= {name.removeprefix("os.") for name in imports(tree) if name.startswith("os.")}
    return {"system" if name.startswith(("exec", "spawn")) else name for name in names}
