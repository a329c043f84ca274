"""A whole node without an image: engine, document search and gateway, each its own process."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.integration.engine_node import check_built
from tests.integration.gateway_node import Node, answers, wait_for

NONE: Mapping[str, Callable[[Path], Path]] = {}


class Household:
    """A node with all of its services, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = Node(folder)
        self.others: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start every service, and wait until the gateway finds them all well."""
        check_built()
        with (self.folder / "services.log").open("ab") as log:
            for module in ("goni_engine", "goni_rag"):
                argv = [sys.executable, "-m", module, "serve"]
                self.others.append(
                    subprocess.Popen(argv, env=self.node.environment, stdout=log, stderr=log)
                )
        for name in ("engine", "rag"):
            socket_path = self.node.run / f"{name}.sock"
            wait_for(lambda path=socket_path: answers(path), 120)
        self.node.start()
        wait_for(lambda: self.node.control("GET", "/health").json()["ok"], 120)

    def bring(self, name: str, write: Callable[[Path], Path]) -> None:
        """Bring in the model file that ``write`` makes, as the owner's browser does."""
        content, browser = write(self.folder / name).read_bytes(), self.node.signed_in()
        begun = browser.post("/api/incoming", json={"name": name, "bytes": len(content)})
        assert begun.status_code == 201, begun.text
        path, headers = f"/api/incoming/{begun.json()['id']}", {"upload-offset": "0"}
        said = browser.patch(path, content=content, headers=headers, timeout=120)
        assert said.json().get("complete"), said.text

    def stop(self) -> None:
        self.node.stop()
        for process in self.others:
            process.send_signal(signal.SIGTERM)
        for process in self.others:
            process.wait(60)
        self.others.clear()


@contextlib.contextmanager
def running(
    folder: Path, models: Mapping[str, Callable[[Path], Path]] = NONE
) -> Iterator[Household]:
    """A started node that belongs to :data:`tests.integration.gateway_node.OWNER`, with ``models``:
    their names, and what writes each to a path.
    """
    household = Household(folder)
    try:
        household.start()
        household.node.set_up()
        for name, write in models.items():
            household.bring(f"{name}.gguf", write)
        yield household
    finally:
        household.stop()
