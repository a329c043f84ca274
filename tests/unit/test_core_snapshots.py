"""An older Goni finds its data after a newer one has changed the tables and was left."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from goni_core import snapshots
from goni_core.errors import GoniError
from goni_gateway import database, people
from goni_gateway.database import STEPS, Database

NEWER = "CREATE TABLE later (id INTEGER PRIMARY KEY)"


def opened(path: Path, monkeypatch: pytest.MonkeyPatch, *, newer: bool) -> Database:
    """As this version opens it, or the next one, whose tables differ."""
    steps = (*STEPS, NEWER) if newer else STEPS
    monkeypatch.setattr(database, "STEPS", steps)
    monkeypatch.setattr(database, "VERSION", len(steps))
    return Database(path)


def names(base: Database) -> list[str]:
    return sorted(entry.name for entry in base.run(people.listed))


def test_after_a_fall_back_the_older_version_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gateway.db"
    base = opened(path, monkeypatch, newer=False)
    base.run(people.add, "Ada", "owner", "none")
    base.close()
    on_trial = opened(path, monkeypatch, newer=True)
    on_trial.run(people.add, "Grace", "member", "none")
    on_trial.close()
    assert snapshots.copy_of(path, len(STEPS)).stat().st_mode & 0o777 == 0o600

    back = opened(path, monkeypatch, newer=False)
    assert names(back) == ["Ada"]
    back.run(people.add, "Alan", "member", "none")
    assert back.sound()
    back.close()
    # What the version on trial wrote is not thrown away.
    with sqlite3.connect(snapshots.newer_of(path)) as newer:
        assert newer.execute("SELECT COUNT(*) FROM people").fetchone() == (2,)
        assert newer.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)

    again = opened(path, monkeypatch, newer=True)
    assert names(again) == ["Ada", "Alan"]
    again.close()
    # And the copy is of the time just before.
    last = opened(path, monkeypatch, newer=False)
    assert names(last) == ["Ada", "Alan"]
    last.close()


def test_a_newer_database_without_a_copy_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gateway.db"
    opened(path, monkeypatch, newer=True).close()
    assert not snapshots.copy_of(path, len(STEPS)).exists()
    with pytest.raises(GoniError, match="newer version"):
        opened(path, monkeypatch, newer=False)


def test_copies_go_when_the_version_has_long_proved_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gateway.db"
    base = opened(path, monkeypatch, newer=False)
    base.run(people.add, "Ada", "owner", "none")
    base.close()
    opened(path, monkeypatch, newer=True).close()
    copy = snapshots.copy_of(path, len(STEPS))
    opened(path, monkeypatch, newer=True).close()
    assert copy.exists()
    long_ago = time.time() - snapshots.KEPT_S - 60
    os.utime(copy, (long_ago, long_ago))
    opened(path, monkeypatch, newer=True).close()
    assert not copy.exists()


def test_a_copy_that_was_cut_off_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in the middle of a copy leaves the database as it was and some rubbish."""
    path = tmp_path / "gateway.db"
    base = opened(path, monkeypatch, newer=False)
    base.run(people.add, "Ada", "owner", "none")
    base.close()
    rubbish = tmp_path / ".0123456789abcdef.incoming"
    rubbish.write_bytes(b"half")
    opened(path, monkeypatch, newer=True).close()
    assert not rubbish.exists()
    back = opened(path, monkeypatch, newer=False)
    assert names(back) == ["Ada"]
    back.close()
