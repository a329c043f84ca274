"""Two whole nodes for the tests beside this file: a gateway and a mesh each, over the
same sockets and state.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from tests.integration import gateway_node, mesh_node
from tests.integration.gateway_node import OWNER
from tests.integration.mesh_node import eventually


class Whole:
    """A node's gateway and mesh, over the same sockets and state."""

    def __init__(self, folder: Path) -> None:
        self.mesh = mesh_node.Node(folder)
        self.gateway = gateway_node.Node(folder)
        state = self.mesh.state
        self.gateway.crt, self.gateway.key = state / "tls.crt", state / "tls.key"
        self.gateway.trusted = self.gateway.crt
        (self.plain,) = mesh_node.free_ports(1)
        self.gateway.more = ("--listen-plain", f"127.0.0.1:{self.plain}")
        eventually(self.gateway.crt.exists)
        self.gateway.start()

    def trust(self) -> None:
        """From now on believe what the household's root vouches for, and nothing else; returns once
        the gateway shows such a certificate.
        """
        root = self.mesh.base / "root.pem"
        root.write_text(self.mesh.ask("GET", "/authority")["certificate"])
        self.gateway.trusted = root
        eventually(self._shows_it)

    def _shows_it(self) -> bool:
        trusted = ssl.create_default_context(cafile=self.gateway.trusted)
        address = "127.0.0.1", self.gateway.port
        try:
            with (
                socket.create_connection(address, timeout=20) as plain,
                trusted.wrap_socket(plain, server_hostname="127.0.0.1"),
            ):
                return True
        except ssl.SSLCertVerificationError:
            return False

    def stop(self) -> None:
        if self.gateway.process is not None:
            self.gateway.stop()
        if self.mesh.process.poll() is None:
            self.mesh.end()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[list[Whole]]:
    """Two nodes below ``folder`` that know nothing of each other."""
    with contextlib.ExitStack() as ending:
        made = []
        for name in ("kitchen", "attic"):
            node = Whole(folder / name)
            ending.callback(node.stop)
            made.append(node)
        yield made


def found(node: Whole) -> None:
    """Begin a household with this node and its owner."""
    body = {"name": "Home", "node_name": "kitchen", "password": OWNER["password"]}
    node.mesh.ask("POST", "/household", body, 201)
    node.gateway.set_up()
    node.trust()


def join(first: Whole, second: Whole) -> None:
    """Let the second into the household of the first, by the PIN that it shows."""
    pin = second.mesh.ask("POST", "/offer", {"pin": "012345"}, 201)["pin"]
    assert pin == "012345"
    eventually(lambda: mesh_node.reachable("127.0.0.1", second.mesh.pairing))
    # The owner's account reaches the roster within a beat.
    eventually(lambda: any(one["name"].startswith("person/") for one in fields(first)))
    body = {"address": f"127.0.0.1:{second.mesh.pairing}", "pin": pin, "name": "attic"}
    words = first.mesh.ask("POST", "/pair", {**body, "password": OWNER["password"]})["words"]
    assert second.mesh.ask("GET", "/status")["words"] == words


def fields(node: Whole) -> list[dict]:
    return node.mesh.ask("GET", "/fields")["fields"]
