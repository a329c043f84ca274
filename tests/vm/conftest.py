"""Fixtures of the virtual-machine tests: the image that was built, and machines made from it.

``GONI_PROFILE`` chooses the image (minimal unless given). Logs stay in ``out/vm/<name>``; disks
stay only after a failure.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from goni_core.errors import GoniError
from image import vm
from image.machine import Machine, Options

MachineFactory = Callable[..., Machine]


def pytest_configure() -> None:
    """A terminated test run ends its machines, as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def image() -> Path:
    """The image under test; a missing one is an error that names the command to build it."""
    return vm.image_of(os.environ.get("GONI_PROFILE", "minimal"))


@pytest.fixture(scope="module")
def machines(image: Path, request: pytest.FixtureRequest) -> Iterator[MachineFactory]:
    """``machines("node", memory=3072)``: a new machine, powered on and greeted by its agent; all
    of them end with the module.
    """
    failures = request.session.testsfailed
    with contextlib.ExitStack() as stack:
        made: list[Machine] = []

        def new(name: str, **options: object) -> Machine:
            label = f"{Path(str(request.node.path)).stem}-{name}"
            machine = Machine(label, image, options=Options(**options))  # type: ignore[arg-type]
            made.append(machine)
            return stack.enter_context(machine)

        yield new
        if request.session.testsfailed > failures:
            for machine in made:
                keep_evidence(machine)
    if request.session.testsfailed == failures:
        for machine in made:
            machine.disk.unlink(missing_ok=True)
            machine.nvme.unlink(missing_ok=True)


def keep_evidence(machine: Machine) -> None:
    """What a person wants to see after a failure, as far as the machine still gives it."""
    if not machine.running:
        return
    with contextlib.suppress(GoniError, OSError):
        machine.screenshot(machine.folder / "screen.png")
    with contextlib.suppress(GoniError, OSError):
        text = machine.journal(lines=5000)
        (machine.folder / "journal.txt").write_text(text)
