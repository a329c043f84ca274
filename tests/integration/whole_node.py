"""Whole nodes on one machine, as a household: goni-mesh, a real engine, and a gateway each."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.integration import engine_node, gateway_node
from tests.integration.mesh_node import Node as MeshNode
from tests.integration.mesh_node import eventually


class Whole:
    """A node in ``folder`` that has the model files ``models``."""

    def __init__(self, folder: Path, models: Sequence[Path]) -> None:
        self.folder = folder
        self.engine = engine_node.Node(folder)
        self.gateway = gateway_node.Node(folder)
        self.engine.models.mkdir(parents=True, exist_ok=True)
        for model in models:
            shutil.copy(model, self.engine.models)
        self.engine.start()
        self.mesh = MeshNode(folder)
        self.gateway.start()
        self.gateway.set_up()

    def processes(self) -> list[int]:
        """Everything that runs for this node."""
        assert self.engine.process
        own = [self.engine.process.pid, self.mesh.process.pid]
        return [*self.engine.children(), *own]

    def signal(self, number: int) -> None:
        """Kill, freeze or thaw engine and mesh at once, as if it were the machine."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def die(self) -> None:
        """Engine and mesh end at once, as if by a power cut."""
        self.signal(signal.SIGKILL)
        assert self.engine.process
        self.engine.process.wait(60)
        self.mesh.process.wait(60)
        self.mesh.http.close()
        (self.folder / "run/engine.sock").unlink(missing_ok=True)

    def restart(self) -> None:
        """After :meth:`die`."""
        self.engine.start()
        self.mesh.start()

    def sees(self, *others: Whole) -> bool:
        """Whether it knows just these peers' models."""
        said = self.mesh.ask("GET", "/nodes")["nodes"]
        return {one["id"] for one in said} == {other.mesh.id for other in others}

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError, AssertionError):
            self.signal(signal.SIGCONT)
        for end in (self.gateway.stop, self._end_mesh, self._end_engine):
            with contextlib.suppress(Exception):
                end()

    def _end_mesh(self) -> None:
        if self.mesh.process.poll() is None:
            self.mesh.end()

    def _end_engine(self) -> None:
        if self.engine.process and self.engine.process.poll() is None:
            self.engine.stop()


@contextlib.contextmanager
def household(folder: Path, models: Sequence[Sequence[Path]]) -> Iterator[list[Whole]]:
    """Nodes that know each other, one for each entry of ``models``."""
    with contextlib.ExitStack() as ending:
        made = []
        for number, files in enumerate(models):
            node = Whole(folder / f"node{number}", files)
            ending.callback(node.stop)
            made.append(node)
        made[0].mesh.found()
        for node in made[1:]:
            made[0].mesh.pair(node.mesh, f"node {made.index(node)}")
        for node in made:
            others = [other for other in made if other is not node]
            eventually(lambda node=node, others=others: node.sees(*others))
        yield made
