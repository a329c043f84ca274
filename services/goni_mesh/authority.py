"""The household's certificates: root -> one issuer per node -> what a node shows.

The root's key comes from the owner's secret and exists only while the owner's word is given. It
signs, once per node, a certificate that lets the node's own key issue; with that the node makes its
certificates for the channel and for the web page and renews them by itself. None of this is trust:
the channel compares keys with the roster. The root is for browsers, and its critical name
constraints (RFC 5280, 4.2.1.10) keep it to ``.local`` names and private addresses, so that a phone
that trusts it can't be shown a false bank by whoever stole a node.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from goni_core.errors import BadInput, GoniError
from goni_mesh import certificate, keys
from goni_mesh.certificate import Validity
from goni_mesh.keys import PrivateKey

ALWAYS = Validity(datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC))
"""Of the root and the issuers: a removal ends a node, not a date, and a fresh box has no clock."""
NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fe80::/10",
    "fc00::/7",
)
MOST_ADDRESSES = 16
DOMAINS = ("local", "localhost")


def root(authority: PrivateKey, household: str) -> str:
    """The household's root certificate in PEM."""
    name = certificate.named(f"{household} (Goni)")
    allowed: list[x509.GeneralName] = [x509.DNSName(domain) for domain in DOMAINS]
    allowed += [x509.IPAddress(ipaddress.ip_network(network)) for network in NETWORKS]
    limits = x509.NameConstraints(allowed, None)
    public = authority.raw.public_key()
    return certificate.signed(authority.raw, public, (name, name), ALWAYS, (limits,), authority=1)


def issuer(authority: PrivateKey, root_pem: str, node: str) -> str:
    """The certificate in PEM by which the node with public key ``node`` issues its own."""
    above = certificate.read_certificate(root_pem.encode()).subject
    name = certificate.named(f"Goni node {keys.node_id(node)[:16]}")
    public = keys.read_public(node)
    return certificate.signed(authority.raw, public, (name, above), ALWAYS, authority=0)


def leaf(
    node: PrivateKey,
    issuer_pem: str,
    public: ec.EllipticCurvePublicKey,
    names: Sequence[x509.GeneralName],
    valid: Validity,
) -> str:
    """A certificate in PEM for ``public``, issued by this node: its web page's or its own."""
    above = certificate.read_certificate(issuer_pem.encode()).subject
    use = x509.ExtendedKeyUsage([certificate.SERVER, certificate.CLIENT])
    both = certificate.named("Goni node"), above
    more = (x509.SubjectAlternativeName(names), use)
    return certificate.signed(node.raw, public, both, valid, more)


def own_names(node: PrivateKey) -> list[x509.GeneralName]:
    """The names in a node's certificate for the channel, where keys count and names don't."""
    return [x509.DNSName(f"{node.id[:32]}.goni.local")]


def web_names(hostname: str, addresses: Iterable[str] = ()) -> list[x509.GeneralName]:
    """The names of a node's web page, and of its ``addresses`` the first ones, that the root may
    vouch for.
    """
    every = certificate.names(hostname)
    dns = [name for name in every if name.split(".")[-1] in DOMAINS]
    parsed = [ipaddress.ip_address(one) for one in (*certificate.ADDRESSES, *addresses)]
    allowed = [ipaddress.ip_network(network) for network in NETWORKS]
    good = [one for one in dict.fromkeys(parsed) if any(one in network for network in allowed)]
    return [*map(x509.DNSName, dns), *map(x509.IPAddress, good[:MOST_ADDRESSES])]


def issued_by(pem: bytes, issuer_pem: str) -> bool:
    """Whether the first certificate in ``pem`` was signed by that issuer."""
    held, above = (
        certificate.read_certificate(pem),
        certificate.read_certificate(issuer_pem.encode()),
    )
    try:
        held.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def request(node: PrivateKey) -> str:
    """A signing request (PKCS #10, RFC 2986) in PEM: proof that the node holds its key."""
    name = certificate.named("Goni node")
    made = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = made.sign(node.raw, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def requested(pem: str) -> str:
    """The public key of a signing request that its own key signed; else :class:`BadInput`."""
    try:
        asked = x509.load_pem_x509_csr(pem.encode())
        public, sound = asked.public_key(), asked.is_signature_valid
    except (ValueError, TypeError) as error:
        raise BadInput("that is no signing request", code="bad_request") from error
    if not sound or not isinstance(public, ec.EllipticCurvePublicKey):
        raise BadInput("the signing request is not signed by its own key", code="bad_request")
    text = keys.public_text(public)
    keys.read_public(text)
    return text


def check_issuer(pem: str, root_pem: str, node: str) -> None:
    """Raise :class:`GoniError` unless ``pem`` lets ``node`` issue in the name of that root."""
    if not issued_by(pem.encode(), root_pem):
        raise GoniError("the node's certificate is another household's")
    public = certificate.read_certificate(pem.encode()).public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or keys.public_text(public) != node:
        raise GoniError("the node's certificate is for another key")
