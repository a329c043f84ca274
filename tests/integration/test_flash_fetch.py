"""Fetching an image: over lines that break, from servers that change their mind or never end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_core.errors import BadInput, DiskFull, Forbidden, GoniError, NotFound
from goni_core.progress import Monitor
from goni_flash import fetch, source
from tests.integration import hub

NAME = "goni_1_x86-64.raw"
CONTENT = os.urandom(3 << 20)
QUIET = Monitor()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    with hub.running(None) as made:
        yield made


def get(server: hub.Hub, *, signed: bool = False) -> Path:
    return fetch.fetch(f"{server.address}{hub.STORE}/r/{NAME}", QUIET, signed=signed)


def test_it_goes_on_where_the_line_broke(server: hub.Hub) -> None:
    server.serve(f"/r/{NAME}", CONTENT, cuts=[1 << 20, 1 << 20])
    assert get(server).read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked] == ["", "bytes=1048576-", "bytes=2097152-"]


def test_a_version_that_changed_in_between_is_fetched_anew(server: hub.Hub) -> None:
    served = server.serve(f"/r/{NAME}", CONTENT, cuts=[1 << 20] * fetch.TRIES, ranges=False)
    with pytest.raises(GoniError, match=r"failed|broke"):
        get(server)
    other = os.urandom(2 << 20)
    served = server.serve(f"/r/{NAME}", other, etag='"2"')
    assert get(server).read_bytes() == other
    assert served.etag == '"2"'
    assert list(fetch.folder().iterdir()) == [fetch.folder() / NAME], "nothing is left behind"


def test_a_server_without_ranges_or_lengths_will_do(server: hub.Hub) -> None:
    server.serve(f"/r/{NAME}", CONTENT, ranges=False, length=False, etag="")
    assert get(server).read_bytes() == CONTENT


def test_a_server_that_never_ends_is_left(server: hub.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LARGEST", 4 << 20)
    server.serve(f"/r/{NAME}", CONTENT, endless=True, length=False)
    with pytest.raises(BadInput, match="more than any image"):
        get(server)


def test_no_room_is_said_before(server: hub.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "RESERVE", 1 << 60)
    server.serve(f"/r/{NAME}", CONTENT)
    with pytest.raises(DiskFull, match=r"the image needs 3\.1 MB"):
        get(server)


def test_an_image_without_checksums_is_not_fetched(server: hub.Hub) -> None:
    server.serve(f"/r/{NAME}", CONTENT)
    with pytest.raises(NotFound, match="no list of checksums"):
        get(server, signed=True)
    assert server.sent == 0


def test_a_list_of_checksums_has_a_limit(server: hub.Hub) -> None:
    server.serve(f"/r/{NAME}", CONTENT)
    server.serve("/r/SHA256SUMS", b"x" * (2 << 20))
    with pytest.raises(GoniError, match="larger than 1 MiB"):
        get(server, signed=True)


@pytest.mark.parametrize("url", ["http://example.org/x.raw", "https://127.0.0.1:9/x.raw"])
def test_only_protected_lines_to_somebody_who_answers(
    url: str, server: hub.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TRIES", 2)
    with pytest.raises(GoniError) as caught:
        fetch.fetch(url, QUIET, signed=False)
    assert isinstance(caught.value, Forbidden) == url.startswith("http:")


def test_what_is_no_image_is_not_asked_for(server: hub.Hub) -> None:
    for url in (f"{server.address}/x.iso", f"{server.address}/", f"{server.address}/..%2fx"):
        with pytest.raises(NotFound, match="is no image"):
            fetch.fetch(url, QUIET, signed=False)
