"""A gateway with real document search behind it and the small engine that embeds by words: what
the tests of folders through the front door share.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.integration.gateway_node import Node, wait_for
from tests.integration.rag_node import Rag, WordEngine


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[Node, Rag]]:
    """A set-up node and its document search, both in ``folder``."""
    node = Node(folder)
    engine = WordEngine(node.run)
    try:
        rag = Rag(folder)
        try:
            node.start()
            try:
                node.set_up()
                wait_for(lambda: node.control("GET", "/setup").json()["complete"])
                yield node, rag
                node.stop()
            finally:
                if node.process is not None:
                    node.kill()
        finally:
            rag.stop()
    finally:
        engine.stop()
