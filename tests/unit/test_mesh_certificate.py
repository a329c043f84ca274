"""Certificates: what they say, and when one has to be replaced."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from goni_core.errors import GoniError
from goni_mesh import certificate

TODAY = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
KEY = certificate.new_key()


def made(hostname: str = "kitchen", today: datetime = TODAY) -> bytes:
    return certificate.sign(KEY, hostname, certificate.validity(today))


def test_certificate_names_the_node_in_every_way_it_is_reached() -> None:
    read = x509.load_pem_x509_certificate(made())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "kitchen",
        "kitchen.local",
        "goni.local",
        "localhost",
    ]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_certificate_is_a_p256_leaf_signed_by_its_own_key() -> None:
    read = x509.load_pem_x509_certificate(made())
    read.verify_directly_issued_by(read)
    public = read.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    assert not read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_certificate_holds_on_a_browser_whose_clock_is_right_when_the_nodes_is_not() -> None:
    image = datetime(2026, 11, 1, tzinfo=UTC)
    for clock in (datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)):
        today = certificate.latest(clock, image)
        read = x509.load_pem_x509_certificate(made(today=today))
        assert read.not_valid_before_utc == datetime(2025, 1, 1, tzinfo=UTC)
        assert read.not_valid_after_utc == image + timedelta(days=825)


def test_good_certificate_has_no_fault() -> None:
    assert certificate.fault(KEY, made(), "kitchen", TODAY) == ""
    assert certificate.fault(KEY, made(), "kitchen", TODAY + timedelta(days=700)) == ""


@pytest.mark.parametrize(
    ("hostname", "later", "reason"),
    [
        ("bathroom", 0, "another name"),
        ("kitchen", 800, "ends soon"),
        ("kitchen", 5000, "ends soon"),
        ("kitchen", -400, "too long"),
    ],
)
def test_certificate_is_replaced_for_a_reason(hostname: str, later: int, reason: str) -> None:
    today = TODAY + timedelta(days=later)
    assert reason in certificate.fault(KEY, made(), hostname, today)


def test_certificate_of_another_key_is_replaced() -> None:
    assert "another key" in certificate.fault(certificate.new_key(), made(), "kitchen", TODAY)


@pytest.mark.parametrize("hostname", ["Küche", "a b", "-a", "x" * 64, "", "a..b", "*.example"])
def test_hostname_that_can_not_be_certified_is_left_out(hostname: str) -> None:
    assert certificate.names(hostname) == ("goni.local", "localhost")
    assert certificate.fault(KEY, made(hostname), hostname, TODAY) == ""


def test_hostname_with_local_is_not_doubled() -> None:
    assert certificate.names("goni.local") == ("goni.local", "localhost")
    assert certificate.names("GONI") == ("goni", "goni.local", "localhost")


@pytest.mark.parametrize("pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_garbage_is_neither_key_nor_certificate(pem: bytes) -> None:
    with pytest.raises(GoniError):
        certificate.read_key(pem)
    with pytest.raises(GoniError):
        certificate.read_certificate(pem)


def test_key_of_another_kind_is_refused() -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(GoniError, match="P-256"):
        certificate.read_key(other)


def test_fingerprint_is_the_sha256_that_browsers_show() -> None:
    pem = made()
    expected = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()
    shown = certificate.fingerprint(pem)
    assert shown.replace(":", "").lower() == expected
    assert len(shown.split(":")) == 32
