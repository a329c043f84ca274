"""Where bytes come from, when everything goes wrong on the way: real server, real files."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from goni_core.errors import BadInput, DiskFull, GoniError, Unavailable
from goni_update import source
from goni_update.source import Folder, Server
from goni_update.staging import Staging
from tests.integration.update_server import UpdateServer, serving
from tests.releases import VARIANT, Publisher, noise, trusting

CONTENT = noise("file", 300_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UpdateServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/file.zst").write_bytes(CONTENT)
    with serving(tmp_path / "served") as running:
        yield running


class Fetched(NamedTuple):
    data: bytes
    reported: int


def fetch(server: UpdateServer, target: Path, *, rate: int = 0, waits: int = 5) -> Fetched:
    counts: list[int] = []
    asked = Server(server.address, rate=rate, waits=(0.01,) * waits)
    asked.into("file.zst", target, len(CONTENT), counts.append)
    return Fetched(target.read_bytes(), sum(counts))


def test_what_is_here_is_not_fetched_again(server: UpdateServer, tmp_path: Path) -> None:
    target = tmp_path / "file.part"
    target.write_bytes(CONTENT[:250_000])
    assert fetch(server, target) == (CONTENT, 50_000)
    assert server.asked == [("/file.zst", "bytes=250000-")]


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_lines_are_continued_with_and_without_ranges(
    ranges: bool, server: UpdateServer, tmp_path: Path
) -> None:
    server.ranges = ranges
    server.cuts = [100_000, 150_000, 200_000] if ranges else [100_000, 150_000]
    assert fetch(server, tmp_path / "file.part") == (CONTENT, len(CONTENT))


def test_a_line_that_always_breaks_is_given_up(server: UpdateServer, tmp_path: Path) -> None:
    server.cuts = [0] * 50
    with pytest.raises(Unavailable):
        fetch(server, tmp_path / "file.part", waits=3)
    assert len(server.asked) == 4


def test_nothing_is_taken_beyond_the_signed_size(server: UpdateServer, tmp_path: Path) -> None:
    server.endless = True
    assert fetch(server, tmp_path / "file.part").data == CONTENT


def test_a_dripping_line_is_given_up(
    server: UpdateServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "WINDOW_S", 0.3)
    server.drip = 0.01
    with pytest.raises(Unavailable, match="too slow"):
        fetch(server, tmp_path / "file.part", waits=0)


def test_a_rate_limit_is_kept(server: UpdateServer, tmp_path: Path) -> None:
    begun = time.monotonic()
    fetch(server, tmp_path / "file.part", rate=600_000)
    assert time.monotonic() - begun > 0.4


def test_a_full_disk_is_said_to_be_full(server: UpdateServer) -> None:
    with pytest.raises(DiskFull):
        fetch(server, Path("/dev/full"))


def test_a_stick_pulled_out_or_cut_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT[:1000])
    stick = Folder(tmp_path)
    with pytest.raises(BadInput, match="cut"):
        stick.into("file", tmp_path / "part", len(CONTENT), lambda _: None)
    with pytest.raises(GoniError):
        stick.small("missing", 100)
    with pytest.raises(BadInput, match="larger"):
        stick.small("file", 100)


def test_without_room_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher(tmp_path / "builder")
    publisher.folder.mkdir()
    publisher.start().publish("0.2.0")
    folder = Folder(publisher.repository)
    trusted = trusting(publisher, tmp_path / "node", folder)
    trusted.refresh()
    release = trusted.catalog("stable", VARIANT).releases[0]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=256 << 20))
    area = Staging(tmp_path / "node", trusted, folder, lambda *_: None)
    with pytest.raises(DiskFull, match="not enough room"):
        area.bring(release, None)
    assert not list((tmp_path / "node/mirror").rglob("*.zst*"))
