"""Four nodes of a household: what one fetched from outside the others get from it. The mesh's
channel is a test double here, a folder; the repository, the trust and the staging are real.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from goni_core.errors import Unavailable
from goni_update import offers
from goni_update.peers import Nearest
from goni_update.source import Folder
from goni_update.staging import Staging, staged_name
from goni_update.state import State
from tests.integration.update_peers import Line, Near
from tests.integration.update_server import serving
from tests.releases import VARIANT, Publisher, trusting


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "builder")
    made.folder.mkdir()
    made.start()
    made.publish("0.2.0")
    return made


def bring(publisher: Publisher, folder: Path, line: Line, near: Near) -> Path:
    """One node stages the release; its mirror."""
    source = Nearest(line, near)
    trusted = trusting(publisher, folder, source)
    trusted.refresh()
    release = trusted.catalog("stable", VARIANT).releases[0]
    area = Staging(folder, trusted, source, lambda *_: None)
    area.bring(release, None)
    for part in ("usr", "usr-verity", "usr-verity-sig", "efi"):
        assert (area.staged / staged_name(release, part)).stat().st_size == release.part(part).bytes
    return area.mirror


def test_four_nodes_need_the_line_for_one(publisher: Publisher, tmp_path: Path) -> None:
    line, near = Line(Folder(publisher.repository)), Near()
    near.mirrors.append(bring(publisher, tmp_path / "1", line, near))
    asked, one = len(line.asked), line.bytes
    assert asked == 3
    for number in ("2", "3", "4"):
        before = line.bytes
        near.mirrors.append(bring(publisher, tmp_path / number, line, near))
        # What is left says what is newest.
        assert line.bytes - before < 1000 < one / 100
    assert len(line.asked) == asked


def test_a_peer_that_lies_or_breaks_off_is_passed_over(
    publisher: Publisher, tmp_path: Path
) -> None:
    line, near = Line(Folder(publisher.repository)), Near()
    good = bring(publisher, tmp_path / "1", line, near)
    wholly = len(line.asked)
    lying, cut = tmp_path / "lying", tmp_path / "cut"
    for folder in (lying, cut):
        shutil.copytree(good, folder)
    for path in lying.rglob("*.zst"):
        path.write_bytes(bytes(path.stat().st_size))
    for path in cut.rglob("*.zst"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    line.asked.clear()
    bring(publisher, tmp_path / "2", line, Near([lying, cut]))
    assert len(line.asked) == wholly
    # The half that came from the honest one is not fetched again.
    line.asked.clear()
    line.bytes = 0
    bring(publisher, tmp_path / "3", line, Near([cut]))
    sizes = sum(path.stat().st_size for path in good.rglob("*.zst"))
    assert line.bytes < 0.6 * sizes
    line.asked.clear()
    bring(publisher, tmp_path / "4", line, Near([lying, good]))
    assert line.asked == []


def test_a_house_without_a_line_takes_what_a_peer_has(publisher: Publisher, tmp_path: Path) -> None:
    line = Line(Folder(publisher.repository))
    first = bring(publisher, tmp_path / "1", line, Near())
    line.cut = True
    bring(publisher, tmp_path / "2", line, Near([first]))
    with pytest.raises(Unavailable):
        bring(publisher, tmp_path / "3", line, Near())


def test_a_peer_whose_metadata_is_a_lie_is_not_asked_again(
    publisher: Publisher, tmp_path: Path
) -> None:
    line, near = Line(Folder(publisher.repository)), Near()
    lying = tmp_path / "lying"
    shutil.copytree(bring(publisher, tmp_path / "1", line, near), lying)
    for path in lying.glob("metadata/*.snapshot.json"):
        path.write_text(path.read_text().replace('"version": 1', '"version": 9'))
    release = tmp_path / "os-release"
    release.write_text(f'ID=goni\nVERSION_ID="0.1.0"\nVARIANT_ID={VARIANT}\n')
    with serving(publisher.repository) as server:
        (tmp_path / "server").write_text(server.address)
        places = offers.Places(
            tmp_path / "node",
            root=publisher.first_root,
            release=release,
            server=tmp_path / "server",
            machine=tmp_path / "machine-id",
        )
        places.folder.mkdir()
        found = offers.look(
            places, State(), Near([lying]), folder=None, wanted=None, clock=publisher.now
        )
    assert found.release is not None and str(found.release.version) == "0.2.0"
