"""The node that many of the gateway's tests ask: one for each file, with stand-ins behind it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.gateway_node import Node, StandIn, running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, StandIn]]:
    with running(tmp_path_factory.mktemp("node")) as pair:
        yield pair


@pytest.fixture(scope="module")
def node(served: tuple[Node, StandIn]) -> Node:
    return served[0]


@pytest.fixture(scope="module")
def owner(node: Node) -> httpx.Client:
    """The owner's browser."""
    return node.signed_in()
