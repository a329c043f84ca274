"""A household on disk: founded, joined, left, stolen from, and its certificates."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from goni_core.errors import BadInput, Conflict, Forbidden, GoniError
from goni_mesh import authority, certificate, identity, roster, secret
from goni_mesh.household import Household

PASSWORD = "correct horse"
TODAY = datetime(2026, 11, 22, tzinfo=UTC)
Make = Callable[[str], Household]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret, "WORK", 1 << 10)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Household] = []

    def opened(name: str) -> Household:
        made.append(Household(tmp_path / name))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def found(one: Household) -> str:
    return asyncio.run(one.found("Home", "kitchen", PASSWORD))


def admit(member: Household, new: Household) -> None:
    """The owner lets ``new`` in on ``member``."""
    member.admit(new.node.public, "another", asyncio.run(member.open(PASSWORD)))
    new.join(roster.parse(member.joined().plain()))


def meet(one: Household, other: Household) -> None:
    for here, there in ((one, other), (other, one)):
        assert there.roster is not None
        here.take(there.roster.records.values(), there.roster.entries.values())


def test_a_household_survives_a_restart(make: Make) -> None:
    first = make("a")
    assert first.state == "alone"
    found(first)
    first.edit("setting/language", "de")
    first.close()
    again = make("a")
    assert again.state == "member"
    assert again.roster == first.roster
    assert again.node.id == first.node.id


def test_secrets_are_on_the_disk_only_sealed(make: Make, tmp_path: Path) -> None:
    first = make("a")
    code = found(first)
    first.close()
    held = b"".join(path.read_bytes() for path in (tmp_path / "a").iterdir())
    for hidden in (code, code.replace("-", ""), PASSWORD):
        assert hidden.encode() not in held
    assert held.count(b"PRIVATE KEY") == 2  # the node's own: begin and end
    assert stat.S_IMODE((tmp_path / "a/node.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a/roster.db").stat().st_mode) == 0o600


def test_only_the_owners_password_opens_the_secret(make: Make) -> None:
    first = make("a")
    found(first)
    with pytest.raises(Forbidden):
        asyncio.run(first.open("wrong password"))
    asyncio.run(first.change_password(PASSWORD, "another password"))
    with pytest.raises(Forbidden):
        asyncio.run(first.open(PASSWORD))
    asyncio.run(first.open("another password"))


def test_a_short_password_founds_nothing(make: Make) -> None:
    first = make("a")
    with pytest.raises(BadInput):
        asyncio.run(first.found("Home", "kitchen", "short"))
    assert first.state == "alone"


def test_a_second_node_joins_and_both_agree(make: Make) -> None:
    first, second = make("a"), make("b")
    found(first)
    admit(first, second)
    second.edit("setting/zone", "UTC")
    meet(first, second)
    assert first.roster == second.roster
    assert list(first.peers()) == [second.node.id]
    assert list(second.peers()) == [first.node.id]


def test_any_member_admits_at_the_owners_word(make: Make) -> None:
    first, second, third = make("a"), make("b"), make("c")
    found(first)
    admit(first, second)
    admit(second, third)
    meet(first, third)
    assert first.peers().keys() == {second.node.id, third.node.id}


def test_a_node_joins_no_household_that_does_not_name_its_key(make: Make) -> None:
    first, second = make("a"), make("b")
    found(first)
    with pytest.raises(BadInput):
        second.join(first.joined())
    assert second.state == "alone"
    found(second)
    with pytest.raises(Conflict):
        second.join(first.joined())


def test_a_removed_node_is_refused_and_starts_anew_with_another_key(make: Make) -> None:
    first, second = make("a"), make("b")
    found(first)
    admit(first, second)
    second.edit("setting/zone", "UTC")
    meet(first, second)
    word = asyncio.run(first.open(PASSWORD))
    first.remove(second.node.id, word.owner)
    assert first.joined().shown["setting/zone"].winner.author == first.node.id
    assert not first.take((), [second.edit("setting/zone", "mine")])
    meet(first, second)
    assert (second.state, second.peers(), second.issuer()) == ("removed", {}, None)
    with pytest.raises(Conflict, match="removed"):
        first.admit(second.node.public, "again", word)
    old = second.node.id
    second.reset()
    admit(first, second)
    assert second.node.id != old
    assert second.state == "member"


def test_the_recovery_key_undoes_what_a_thief_did_with_the_founding_node(make: Make) -> None:
    thief, ours = make("a"), make("b")
    code = found(thief)
    admit(thief, ours)
    word = asyncio.run(thief.open(PASSWORD))
    thief.remove(ours.node.id, word.owner)
    meet(ours, thief)
    assert ours.state == "removed"
    with pytest.raises(BadInput, match="recovery"):
        other = secret.recovery_key(secret.new_code())
        ours.remove(thief.node.id, other, recovery=True)
    ours.remove(thief.node.id, secret.recovery_key(code.lower()), recovery=True)
    assert ours.state == "member"
    assert ours.joined().members.standing.keys() == {ours.node.id}
    meet(ours, thief)
    assert ours.joined().members.standing.keys() == {ours.node.id}


def test_the_file_of_a_newer_version_is_refused(make: Make, tmp_path: Path) -> None:
    first = make("a")
    first.store._database.execute("PRAGMA user_version = 99")
    first.close()
    with pytest.raises(GoniError, match="newer"):
        make("a")
    shutil.rmtree(tmp_path / "a")


def web_page(folder: Path, issuer: identity.Issuer | None, name: str = "kitchen") -> str:
    return identity.ensure(folder, name, TODAY, issuer).reason


def test_the_web_page_gets_the_households_certificate_and_keeps_its_key(make: Make) -> None:
    first = make("a")
    web_page(first.folder, None)
    key = (first.folder / "tls.key").read_bytes()
    found(first)
    assert "household" in web_page(first.folder, first.issuer())
    assert web_page(first.folder, first.issuer()) == ""
    assert (first.folder / "tls.key").read_bytes() == key
    assert "another name" in web_page(first.folder, first.issuer(), "bathroom")
    root = str(first.joined().founding.body["root"])
    for name in ("bathroom.local", "goni.local", "localhost"):
        assert handshake(first.folder, root, name) == "TLSv1.3"


def test_the_web_page_is_found_by_the_nodes_addresses_in_the_house(make: Make) -> None:
    first = make("a")
    found(first)
    root = str(first.joined().founding.body["root"])
    addresses = ["192.168.1.20", "8.8.8.8", "fe80::1", "2001:db8::1"]

    def named(*given: str) -> str:
        issuer = first.issuer()
        return identity.ensure(first.folder, "kitchen", TODAY, issuer, given).reason

    assert named(*addresses)
    # What the root may not vouch for is left out, or browsers would refuse all of it.
    for name in ("192.168.1.20", "fe80::1", "127.0.0.1", "kitchen.local"):
        assert handshake(first.folder, root, name) == "TLSv1.3"
    for name in ("8.8.8.8", "2001:db8::1", "192.168.1.21"):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(first.folder, root, name)
    # An address that went is no reason for a new certificate, one that came is.
    assert named() == ""
    assert "name" in named("192.168.1.21")


def test_a_browser_that_trusts_the_root_is_shown_no_name_outside_the_house(make: Make) -> None:
    first = make("a")
    found(first)
    issuer = first.issuer()
    assert issuer is not None
    web_page(first.folder, issuer)
    public = certificate.read_key((first.folder / "tls.key").read_bytes()).public_key()
    bank = [x509.DNSName("bank.example")]
    forged = authority.leaf(
        issuer.node, issuer.certificate, public, bank, certificate.validity(TODAY)
    )
    (first.folder / "tls.crt").write_text(forged + issuer.certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        handshake(first.folder, str(first.joined().founding.body["root"]), "bank.example")


def handshake(folder: Path, root: str, name: str) -> str | None:
    """What OpenSSL says to a page that shows what is in ``folder``."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    client = ssl.create_default_context(cadata=root)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        with ours, client.wrap_socket(ours, server_hostname=name) as tls:
            return tls.version()
    finally:
        serving.join()


def test_the_channels_certificate_renews_itself(make: Make) -> None:
    first = make("a")
    found(first)
    issuer = first.issuer()
    assert issuer is not None
    made = identity.channel_certificate(first.folder, TODAY, issuer)
    assert identity.channel_certificate(first.folder, TODAY, issuer) == made
    later = datetime(2028, 12, 30, tzinfo=UTC)
    renewed = identity.channel_certificate(first.folder, later, issuer)
    assert certificate.read_certificate(renewed).not_valid_after_utc.year == 2031
    (first.folder / "channel.crt").write_bytes(b"garbage")
    assert identity.channel_certificate(first.folder, TODAY, issuer).startswith(b"-----BEGIN")


@pytest.mark.parametrize("year", [2000, 2025, 2026, 2040])
def test_a_certificate_made_by_a_wrong_clock_holds_for_the_others(make: Make, year: int) -> None:
    first = make("a")
    found(first)
    issuer = first.issuer()
    assert issuer is not None
    clock = certificate.latest(datetime(year, 6, 1, tzinfo=UTC), TODAY)
    read = certificate.read_certificate(identity.channel_certificate(first.folder, clock, issuer))
    assert read.not_valid_before_utc.year == 2000
    assert read.not_valid_after_utc > TODAY + certificate.RENEW


@pytest.mark.parametrize("pem", ["", "garbage", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_signing_request_is_refused(pem: str) -> None:
    with pytest.raises(BadInput):
        authority.requested(pem)
