"""The identity on disk, and the command that makes it."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from goni_mesh import certificate, identity
from goni_mesh.__main__ import main

TODAY = datetime(2026, 11, 22, tzinfo=UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_identity_is_made_once_and_kept(tmp_path: Path) -> None:
    first = identity.ensure(tmp_path, "goni", TODAY)
    again = identity.ensure(tmp_path, "goni", TODAY + timedelta(days=30))
    assert first.reason
    assert again == identity.Identity(first.certificate)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tls.crt", "tls.key"]
    assert mode(tmp_path / "tls.key") == 0o640
    assert mode(tmp_path / "tls.crt") == 0o640


@pytest.mark.parametrize("damage", [b"", b"\x00" * 300, b"-----BEGIN PRIVATE KEY-----\nAAAA"])
def test_unreadable_key_is_replaced_with_its_certificate(tmp_path: Path, damage: bytes) -> None:
    identity.ensure(tmp_path, "goni", TODAY)
    (tmp_path / "tls.key").write_bytes(damage)
    renewed = identity.ensure(tmp_path, "goni", TODAY)
    assert "no usable key" in renewed.reason
    assert good(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 300])
def test_unreadable_certificate_is_replaced_and_the_key_kept(tmp_path: Path, damage: bytes) -> None:
    identity.ensure(tmp_path, "goni", TODAY)
    key = (tmp_path / "tls.key").read_bytes()
    (tmp_path / "tls.crt").write_bytes(damage)
    assert identity.ensure(tmp_path, "goni", TODAY).reason
    assert (tmp_path / "tls.key").read_bytes() == key
    assert good(tmp_path)


def test_missing_certificate_after_a_power_cut_is_made(tmp_path: Path) -> None:
    identity.ensure(tmp_path, "goni", TODAY)
    (tmp_path / "tls.crt").unlink()
    (tmp_path / ".0011223344556677.incoming").write_bytes(b"half")
    assert identity.ensure(tmp_path, "goni", TODAY).reason
    assert good(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_certificate_of_another_key_is_replaced(tmp_path: Path) -> None:
    identity.ensure(tmp_path, "goni", TODAY)
    (tmp_path / "tls.key").write_bytes(certificate.new_key())
    assert "another key" in identity.ensure(tmp_path, "goni", TODAY).reason
    assert good(tmp_path)


def test_renewal_keeps_the_key(tmp_path: Path) -> None:
    identity.ensure(tmp_path, "goni", TODAY)
    key = (tmp_path / "tls.key").read_bytes()
    later = TODAY + timedelta(days=800)
    assert "ends soon" in identity.ensure(tmp_path, "goni", later).reason
    assert (tmp_path / "tls.key").read_bytes() == key


def test_key_that_others_could_read_is_closed(tmp_path: Path) -> None:
    identity.ensure(tmp_path, "goni", TODAY)
    (tmp_path / "tls.key").chmod(0o644)
    identity.ensure(tmp_path, "goni", TODAY)
    assert mode(tmp_path / "tls.key") == 0o640


def good(folder: Path) -> bool:
    key, held = (folder / "tls.key").read_bytes(), (folder / "tls.crt").read_bytes()
    return certificate.fault(key, held, "goni", TODAY) == ""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("GONI_STATE", str(tmp_path))
    return tmp_path


def test_command_makes_the_identity_and_prints_nothing(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["identity"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "PRIVATE" not in printed.err
    assert (state / "mesh/tls.key").exists()


def test_command_prints_the_fingerprint(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["identity"])
    main(["fingerprint"])
    plain = capsys.readouterr().out.strip()
    main(["fingerprint", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["sha256"] == plain
    assert answer["sha256"] == certificate.fingerprint((state / "mesh/tls.crt").read_bytes())
    assert datetime.fromisoformat(answer["valid_until"]) > datetime.now(UTC)


def test_fingerprint_without_an_identity_says_what_to_run(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fingerprint"])
    assert ended.value.code == 1
    assert "goni-mesh identity" in capsys.readouterr().err


def test_folder_that_can_not_be_written_is_one_clear_line(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", os.fspath(state / "file/mesh"))
    with pytest.raises(SystemExit):
        main(["identity"])
    assert "can't be written" in capsys.readouterr().err
