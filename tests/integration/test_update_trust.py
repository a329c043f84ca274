"""What a node believes of a repository: real keys and metadata over a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Timestamp

from goni_core.errors import Forbidden, GoniError, NotFound, Unavailable
from goni_update import source as sources
from goni_update import version
from goni_update.source import Folder, Server
from goni_update.trust import Refused, Trust, reference
from image.release import bundle, home, signing
from tests.integration.update_server import UpdateServer, serving
from tests.releases import VARIANT, Publisher, trusting


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "builder")
    made.folder.mkdir()
    return made.start()


@pytest.fixture
def server(publisher: Publisher) -> Iterator[UpdateServer]:
    with serving(publisher.repository) as running:
        yield running


def offered(trust: Trust, channel: str = "stable") -> list[str]:
    trust.refresh()
    return [str(one.version) for one in trust.catalog(channel, VARIANT).releases]


def refusal(trust: Trust) -> str:
    with pytest.raises(Refused) as caught:
        offered(trust)
    return caught.value.code


def test_what_is_published_is_offered_newest_first(
    publisher: Publisher, server: UpdateServer, tmp_path: Path
) -> None:
    publisher.publish("0.2.0", notes="Faster.")
    publisher.publish("0.10.0", minimum="0.2.0", rollout=50, urgency="a hole in TLS")
    trust = trusting(publisher, tmp_path, Server(server.address))
    assert offered(trust) == ["0.10.0", "0.2.0"]
    newest = trust.catalog("stable", VARIANT).releases[0]
    assert (str(newest.minimum), newest.rollout, newest.urgency) == ("0.2.0", 50, "a hole in TLS")
    assert trust.development


def test_a_channel_says_nothing_of_another(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish("0.2.0", channel="beta")
    source = Folder(publisher.repository)
    assert offered(trusting(publisher, tmp_path, source), "beta") == ["0.2.0"]
    with pytest.raises(NotFound):
        offered(trusting(publisher, tmp_path, source))


def test_a_channel_key_can_sign_nothing_of_another_channel(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("0.2.0", channel="beta")
    repository = publisher.open()
    foreign = publisher.folder / "foreign.json"
    foreign.write_bytes(b'{"format": 1, "channel": "stable", "variant": "minimal", "releases": []}')
    repository.add("beta", {f"stable/{VARIANT}/releases.json": foreign}, gone=set())
    with pytest.raises(NotFound):
        offered(trusting(publisher, tmp_path, Folder(publisher.repository)))


def test_a_withdrawn_release_is_no_longer_offered(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish("0.2.0")
    publisher.publish("0.3.0")
    bundle.withdraw(publisher.open(), "stable", VARIANT, version.parse("0.3.0"), publisher.folder)
    assert offered(trusting(publisher, tmp_path, Folder(publisher.repository))) == ["0.2.0"]
    assert publisher.open().prune() > 4


def test_lower_versions_are_not_published(publisher: Publisher) -> None:
    publisher.publish("0.3.0")
    with pytest.raises(GoniError, match=r"has 0\.3\.0 already"):
        publisher.publish("0.2.0")


def test_expired_metadata_is_refused_and_a_refresh_helps(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("0.2.0")
    later = publisher.now + timedelta(days=15)
    source = Folder(publisher.repository)
    assert refusal(trusting(publisher, tmp_path, source, now=later)) == "expired"
    publisher.later(days=15).open().refresh()
    assert offered(trusting(publisher, tmp_path, source, now=later)) == ["0.2.0"]


def test_a_refresh_after_half_a_year_renews_channels_and_roots_too(publisher: Publisher) -> None:
    assert set(publisher.later(days=200).open().refresh()) == {
        "root", "targets", "stable", "beta", "snapshot", "timestamp",
    }  # fmt: skip


def test_a_clock_ten_years_ahead_is_refused_with_the_date_that_it_says(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("0.2.0")
    ahead = publisher.now + timedelta(days=3650)
    with pytest.raises(Refused, match=f"{ahead:%Y-%m-%d}") as caught:
        offered(trusting(publisher, tmp_path, Folder(publisher.repository), now=ahead))
    assert "set the clock" in caught.value.hint


def test_a_clock_ten_years_behind_does_not_keep_expired_metadata_alive(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("0.2.0")
    behind = publisher.now - timedelta(days=3650)
    built = publisher.now + timedelta(days=15)
    now = reference(behind, built)
    source = Folder(publisher.repository)
    assert refusal(trusting(publisher, tmp_path, source, now=now)) == "expired"


def test_a_replayed_repository_is_refused_after_a_restart_too(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("0.2.0")
    old = tmp_path / "old"
    shutil.copytree(publisher.repository, old)
    publisher.publish("0.3.0")
    assert offered(trusting(publisher, tmp_path, Folder(publisher.repository))) == [
        "0.3.0",
        "0.2.0",
    ]
    assert refusal(trusting(publisher, tmp_path, Folder(old))) == "rolled_back"


def test_metadata_signed_by_somebody_else_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    stranger = Publisher(tmp_path / "stranger")
    stranger.folder.mkdir()
    stranger.start().publish("9.0.0")
    assert refusal(trusting(publisher, tmp_path, Folder(stranger.repository))) == "wrongly_signed"


def test_a_changed_timestamp_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    place = publisher.repository / "metadata/timestamp.json"
    signed = Metadata[Timestamp].from_file(str(place))
    signed.signed.version += 1
    signed.to_file(str(place))
    source = Folder(publisher.repository)
    assert refusal(trusting(publisher, tmp_path, source)) == "wrongly_signed"


def test_a_damaged_list_of_releases_is_refused(
    publisher: Publisher, server: UpdateServer, tmp_path: Path
) -> None:
    publisher.publish("0.2.0")
    server.replace["releases.json"] = b"{}"
    trust = trusting(publisher, tmp_path, Server(server.address, waits=()))
    assert refusal(trust) == "corrupted"


@pytest.mark.parametrize("name", signing.NAMES)
def test_every_key_can_be_replaced_and_nodes_follow(
    name: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("0.2.0")
    source = Folder(publisher.repository)
    assert offered(trusting(publisher, tmp_path, source)) == ["0.2.0"]
    old = {path: path.read_bytes() for path in publisher.keys.glob("*.pem")}
    home.rotate(publisher.repository, [publisher.keys], name, now=publisher.now)
    publisher.publish("0.3.0")
    assert offered(trusting(publisher, tmp_path, source)) == ["0.3.0", "0.2.0"]
    assert offered(trusting(publisher, tmp_path / "new", source)) == ["0.3.0", "0.2.0"]
    assert len(list(publisher.keys.glob("*.pem"))) == len(old) + 1


def test_a_revoked_timestamp_key_signs_nothing_any_more(
    publisher: Publisher, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    shutil.copytree(publisher.repository, before)
    stolen = tmp_path / "stolen"
    shutil.copytree(publisher.keys, stolen)
    home.rotate(publisher.repository, [publisher.keys], "timestamp", now=publisher.now)
    trust = trusting(publisher, tmp_path, Folder(publisher.repository))
    trust.refresh()
    # The thief has the old key and all old metadata, and publishes a higher timestamp with them.
    thief = home.open_repository(before, [stolen], now=publisher.now)
    for _ in range(5):
        thief.refresh()
    for path in (publisher.repository / "metadata").glob("*.root.json"):
        shutil.copy(path, before / "metadata")
    assert refusal(trusting(publisher, tmp_path, Folder(before))) == "wrongly_signed"


def test_one_root_key_is_not_enough(publisher: Publisher) -> None:
    for name in ("root-2", "root-3"):
        (publisher.keys / f"{name}.pem").unlink()
    with pytest.raises(GoniError, match="too few root keys"):
        home.rotate(publisher.repository, [publisher.keys], "snapshot", now=publisher.now)


def test_a_missing_key_is_named(publisher: Publisher) -> None:
    (publisher.keys / "stable.pem").unlink()
    with pytest.raises(GoniError, match="the key for stable isn't here"):
        publisher.publish("0.2.0")


def test_keys_are_their_owners_alone(publisher: Publisher) -> None:
    for path in publisher.keys.glob("*.pem"):
        assert path.stat().st_mode & 0o077 == 0
    (publisher.keys / "stable.pem").chmod(0o644)
    with pytest.raises(GoniError, match="can be read by others"):
        signing.load([publisher.keys])


def test_production_keys_say_nothing_of_development(tmp_path: Path) -> None:
    home.make(tmp_path / "keys", development=False)
    made = home.open_repository(tmp_path / "repository", [tmp_path / "keys"])
    assert not made.development
    assert b"development" not in (tmp_path / "keys/root.json").read_bytes()


# --- A bad line.


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_failing_server_is_said_to_be_unavailable(
    status: int, publisher: Publisher, server: UpdateServer, tmp_path: Path
) -> None:
    server.status = status
    with pytest.raises((Unavailable, NotFound)):
        offered(trusting(publisher, tmp_path, Server(server.address, waits=())))


def test_an_endless_timestamp_ends(
    publisher: Publisher, server: UpdateServer, tmp_path: Path
) -> None:
    server.endless = True
    with pytest.raises(GoniError):
        offered(trusting(publisher, tmp_path, Server(server.address, waits=())))
    assert server.sent < 30 << 20


def test_a_dripping_server_is_given_up(
    publisher: Publisher,
    server: UpdateServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "SMALL_S", 0.5)
    server.drip = 0.05
    with pytest.raises(Unavailable, match="too slow"):
        offered(trusting(publisher, tmp_path, Server(server.address, waits=())))


@pytest.mark.parametrize("where", ["file:///etc/passwd", "http://192.0.2.1/", "ftp://127.0.0.1/"])
def test_a_redirection_leads_nowhere_else(
    where: str, publisher: Publisher, server: UpdateServer, tmp_path: Path
) -> None:
    server.redirect = where
    with pytest.raises((Forbidden, Unavailable)):
        offered(trusting(publisher, tmp_path, Server(server.address, waits=())))


def test_a_server_that_sends_in_circles_is_given_up(
    publisher: Publisher, server: UpdateServer, tmp_path: Path
) -> None:
    server.redirect = server.address + "/again"
    with pytest.raises(Unavailable):
        offered(trusting(publisher, tmp_path, Server(server.address, waits=())))
    assert len(server.asked) < 20


def test_plain_http_elsewhere_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match="unprotected"):
        offered(trusting(publisher, tmp_path, Server("http://192.0.2.1/updates", waits=())))
