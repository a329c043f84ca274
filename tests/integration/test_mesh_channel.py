"""The channel under attack: real TLS against a real node, with certificates of every wrong kind."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from goni_mesh import authority, certificate, identity
from goni_mesh.certificate import Validity
from goni_mesh.keys import PrivateKey
from tests import family
from tests.integration.mesh_node import PASSWORD, Node, eventually, nodes

TODAY = datetime.now(UTC)
HEALTH = b"GET /health HTTP/1.1\r\nHost: goni\r\n\r\n"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with nodes(tmp_path_factory.mktemp("channel"), 2) as made:
        made[0].found()
        made[0].pair(made[1])
        eventually(lambda: made[0].sees(made[1]))
        yield made


def client(
    folder: Path, chain: str, key: bytes, *, newest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """An attacker's side: it shows ``chain`` and believes whatever the other side shows."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if newest is not None:
        made.maximum_version = newest
    if chain:
        (folder / "chain.pem").write_text(chain)
        (folder / "key.pem").write_bytes(key)
        made.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return made


def said(node: Node, tls: ssl.SSLContext, request: bytes = HEALTH, seconds: float = 30.0) -> bytes:
    """What the node's channel answers; empty when it ends the connection without a word."""
    with (
        socket.create_connection(("127.0.0.1", node.port), timeout=seconds) as plain,
        contextlib.suppress(ssl.SSLError, ConnectionError),
        tls.wrap_socket(plain) as sock,
    ):
        sock.sendall(request)
        return sock.recv(65536)
    return b""


def issuer(node: Node) -> tuple[PrivateKey, bytes, str]:
    """What a thief of ``node`` has: its key, and the certificate that it issues with."""
    pem = (node.state / "node.key").read_bytes()
    chain = (node.state / "channel.crt").read_text()
    issued_with = chain[chain.index("-----BEGIN", 10) :]
    return PrivateKey.from_pem(pem), pem, issued_with


def own(key: PrivateKey, issued_with: str, valid: Validity | None = None) -> str:
    valid = valid or certificate.validity(TODAY)
    names = authority.own_names(key)
    return authority.leaf(key, issued_with, key.raw.public_key(), names, valid) + issued_with


def alive(node: Node) -> bool:
    return node.process.poll() is None and node.ask("GET", "/health")["ok"]


def test_a_member_is_answered(two: list[Node], tmp_path: Path) -> None:
    key, pem, issued_with = issuer(two[1])
    assert b"200 OK" in said(two[0], client(tmp_path, own(key, issued_with), pem))


def test_without_a_certificate_nothing_is_answered(two: list[Node], tmp_path: Path) -> None:
    assert said(two[0], client(tmp_path, "", b"")) == b""
    assert alive(two[0])


def test_tls_1_2_is_refused(two: list[Node], tmp_path: Path) -> None:
    key, pem, issued_with = issuer(two[1])
    older = client(tmp_path, own(key, issued_with), pem, newest=ssl.TLSVersion.TLSv1_2)
    assert said(two[0], older) == b""


def test_a_self_signed_certificate_is_refused(two: list[Node], tmp_path: Path) -> None:
    pem = certificate.new_key()
    chain = certificate.sign(pem, "kitchen", certificate.validity(TODAY)).decode()
    assert said(two[0], client(tmp_path, chain, pem)) == b""
    # ... even one over a member's own key.
    _, member, _ = issuer(two[1])
    chain = certificate.sign(member, "kitchen", certificate.validity(TODAY)).decode()
    assert said(two[0], client(tmp_path, chain, member)) == b""


def test_an_expired_certificate_is_refused(two: list[Node], tmp_path: Path) -> None:
    key, pem, issued_with = issuer(two[1])
    past = Validity(TODAY - timedelta(days=9), TODAY - timedelta(days=1))
    assert said(two[0], client(tmp_path, own(key, issued_with, past), pem)) == b""


def test_a_foreign_households_certificate_is_refused(two: list[Node], tmp_path: Path) -> None:
    pem = certificate.new_key()
    key = PrivateKey.from_pem(pem)
    issued_with = authority.issuer(family.SECRET.authority, family.ROOT, key.public)
    assert said(two[0], client(tmp_path, own(key, issued_with), pem)) == b""


def test_a_certificate_that_a_member_made_for_a_friend_is_refused(
    two: list[Node], tmp_path: Path
) -> None:
    """Its chain is good; its key is in no roster."""
    key, _, issued_with = issuer(two[1])
    friend = certificate.new_key()
    public = certificate.read_key(friend).public_key()
    names = [x509.DNSName("friend.local")]
    leaf = authority.leaf(key, issued_with, public, names, certificate.validity(TODAY))
    assert said(two[0], client(tmp_path, leaf + issued_with, friend)) == b""
    assert alive(two[0])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"have": [], "vector": {}, "records": [{}], "entries": []}',
        b'{"have": ["x"], "vector": {}, "records": [], "entries": []}',
        b'{"have": [], "vector": {"x": 1}, "records": [], "entries": []}',
        b'{"have": [], "vector": {}, "records": [], "entries": [{"body": {}, "signature": "x"}]}',
    ],
)
def test_a_member_that_talks_nonsense_is_told_so(
    two: list[Node], tmp_path: Path, body: bytes
) -> None:
    assert b"400 Bad Request" in said(two[0], member(two[1], tmp_path), post(body))
    assert alive(two[0])


def test_an_oversized_frame_is_refused_unread(two: list[Node], tmp_path: Path) -> None:
    head = b"POST /roster HTTP/1.1\r\nHost: goni\r\nContent-Length: 9000000000\r\n\r\n"
    assert b"413" in said(two[0], member(two[1], tmp_path), head + bytes(2 << 20))
    assert b"400" in said(two[0], member(two[1], tmp_path), b"GET /" + b"x" * 200_000)
    assert alive(two[0])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/load", b"{}", b"400"),
        ("/load", b'{"free": -1, "models": []}', b"400"),
        ("/load", b'{"free": 1, "models": [{"id": "x"}]}', b"400"),
        ("/load", b'{"free": 1, "models": []}' + b" " * 40_000, b"413"),
        ("/v1/chat/completions", b"[]", b"400"),
        ("/v1/chat/completions", b'{"goni": {"person": "x", "slot": 1}}', b"400"),
        ("/v1/chat/completions", b'{"goni": 3}', b"400"),
        ("/v1/chat/completions", b'{"model": "x", "messages": []}', b"503"),  # no engine here
        ("/models/x.gguf", b"", b"404"),
        ("/v1/embeddings", b"{}", b"404"),
    ],
)
def test_a_member_gets_at_no_more_of_the_engine_than_chats(
    two: list[Node], tmp_path: Path, path: str, body: bytes, status: bytes
) -> None:
    answer = said(two[0], member(two[1], tmp_path), post(body, path))
    assert status in answer.split(b"\r\n")[0]
    assert alive(two[0])


def test_chats_of_members_too_large_or_of_unknown_size_are_refused(
    two: list[Node], tmp_path: Path
) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: goni\r\n"
    endless = head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    assert b" 400 " in said(two[0], member(two[1], tmp_path), endless)
    large = head + b"Content-Length: 40000000\r\n\r\n"
    assert b" 413 " in said(two[0], member(two[1], tmp_path), large)
    assert alive(two[0])


def test_forged_records_from_a_member_change_nothing(two: list[Node], tmp_path: Path) -> None:
    other = family.household(family.key(1), family.key(2))
    forged = {
        "have": [],
        "vector": {},
        "records": [one.plain() for one in other.records.values()],
        "entries": [],
    }
    answer = said(two[0], member(two[1], tmp_path), post(json.dumps(forged).encode()))
    assert b"200 OK" in answer
    assert two[0].ask("GET", "/status")["nodes"] == 2


def test_a_slow_client_is_cut_off_and_holds_nobody_up(two: list[Node], tmp_path: Path) -> None:
    tls = member(two[1], tmp_path)
    began = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", two[0].port), timeout=60) as plain,
        tls.wrap_socket(plain) as slow,
    ):
        slow.sendall(b"GET /health HTTP/1.1\r\n")
        assert b"200 OK" in said(two[0], tls)
        with contextlib.suppress(ConnectionError):
            assert slow.recv(100) == b""
    assert time.monotonic() - began < 50


def test_a_removed_nodes_connection_is_cut_and_its_certificate_useless(
    tmp_path: Path,
) -> None:
    with nodes(tmp_path, 3) as (first, second, thief):
        first.found()
        first.pair(second)
        first.pair(thief, "thief")
        eventually(lambda: second.sees(first, thief))
        tls = member(thief, tmp_path)
        with (
            socket.create_connection(("127.0.0.1", second.port), timeout=60) as plain,
            tls.wrap_socket(plain) as held,
        ):
            held.sendall(HEALTH)
            answer = b""
            while b'"}' not in answer:
                answer += held.recv(65536)
            assert b"200 OK" in answer
            first.ask("POST", "/remove", {"node": "thief", "password": PASSWORD})
            began = time.monotonic()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert held.recv(100) == b""
            assert time.monotonic() - began < 5
        for node in (first, second):
            assert said(node, tls) == b""
            assert alive(node)
            assert node.log.count("does not belong to this household") == 1


def test_a_node_does_not_talk_to_an_impostor_at_a_members_address(
    two: list[Node], tmp_path: Path
) -> None:
    """The impostor's chain leads to the household's root: it is the other member's own."""
    key, pem, issued_with = issuer(two[0])
    (tmp_path / "chain.pem").write_text(own(key, issued_with))
    (tmp_path / "key.pem").write_bytes(pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    two[1].end()
    heard = []
    with socket.create_server(("127.0.0.1", two[1].port)) as listening:
        listening.settimeout(60)
        plain, _ = listening.accept()
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            server.wrap_socket(plain, server_side=True) as tls,
        ):
            heard.append(tls.recv(1000))
    assert heard in ([], [b""])
    eventually(lambda: "certificate that is refused" in two[0].log)
    two[1].start()
    eventually(lambda: two[0].sees(two[1]))


def member(node: Node, folder: Path) -> ssl.SSLContext:
    key, pem, issued_with = issuer(node)
    return client(folder, own(key, issued_with), pem)


def post(body: bytes, path: str = "/roster") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: goni\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_the_folder_of_a_node_holds_what_it_should(two: list[Node]) -> None:
    held = {path.name for path in two[0].state.iterdir()}
    assert {identity.NODE, identity.CHANNEL, "roster.db", "tls.crt", "tls.key"} <= held
