"""The channel between nodes: mutual TLS 1.3 on one port, keys compared with the roster.

OpenSSL checks the chain to the household's root and its dates. Then, before a byte of a request is
read, the key that the other side proved to hold is looked up in the roster: this is what decides.
Towards a peer the only accepted issuer is that peer's own pinned key. When the roster changes, open
connections of nodes that no longer belong are cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import weakref
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from goni_core.errors import Conflict
from goni_mesh import identity, keys
from goni_mesh.household import Household
from goni_mesh.members import Node

log = logging.getLogger(__name__)

MOST_NAMED = 256


class Guard:
    """Who is on the other side of each connection, by the household's roster now."""

    def __init__(self, household: Household) -> None:
        self._household = household
        self._open: weakref.WeakKeyDictionary[asyncio.Transport, str] = weakref.WeakKeyDictionary()
        self._named: set[str] = set()
        household.changed.append(self.cut)

    def __call__(self, transport: asyncio.Transport) -> str | None:
        """The other node's id; ``None`` for one that doesn't belong to the household."""
        tls = transport.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True) if tls else None
        node = node_of(shown) if shown else None
        if node not in self._household.peers():
            self._refused(str(node))
            return None
        self._open[transport] = str(node)
        return node

    def _refused(self, node: str) -> None:
        """One line for each node that is refused, not for each time."""
        if node not in self._named and len(self._named) < MOST_NAMED:
            self._named.add(node)
            log.warning("refused node %s: it does not belong to this household", node[:16])

    def cut(self) -> None:
        """End the connections of nodes that no longer belong."""
        peers = self._household.peers()
        for transport, node in list(self._open.items()):
            if node not in peers:
                transport.abort()


def node_of(certificate: bytes) -> str | None:
    """The id of the node whose key a certificate in DER shows."""
    with contextlib.suppress(ValueError):
        public = x509.load_der_x509_certificate(certificate).public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            return keys.node_id(keys.public_text(public))
    return None


def context(side: int) -> ssl.SSLContext:
    """TLS 1.3 with certificates on both sides; it trusts nobody until :func:`arm` is called."""
    made = ssl.SSLContext(side)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    # A resumed session would skip the look at the certificate.
    made.options |= ssl.OP_NO_TICKET
    if side == ssl.PROTOCOL_TLS_SERVER:
        made.num_tickets = 0
    return made


def arm(server: ssl.SSLContext, household: Household, today: datetime) -> None:
    """Give a server's context this node's certificate, a new one where needed, and the root."""
    _show(server, household, today)
    root = str(household.joined().founding.body["root"])
    server.load_verify_locations(cadata=root)


def towards(peer: Node, household: Household, today: datetime) -> ssl.SSLContext:
    """A client's context in which only ``peer``'s pinned key can answer."""
    made = context(ssl.PROTOCOL_TLS_CLIENT)
    _show(made, household, today)
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.load_verify_locations(cadata=peer.certificate)
    return made


def _show(into: ssl.SSLContext, household: Household, today: datetime) -> None:
    issuer = household.issuer()
    if issuer is None:
        raise Conflict("this node belongs to no household", code="no_household")
    identity.channel_certificate(household.folder, today, issuer)
    folder = household.folder
    into.load_cert_chain(folder / identity.CHANNEL, folder / identity.NODE)
