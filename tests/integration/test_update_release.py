"""The release tool and ``goni-update verify`` from the command line, on a small image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goni_update.__main__ import main as goni_update
from image.release import home
from image.release.__main__ import main
from tests.releases import write_image


class Builder:
    """A builder's desk in ``folder``, with the image of 0.2.0 on it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        home.make(folder / "keys", development=True)
        write_image(folder / "goni-minimal_0.2.0_x86-64", "0.2.0")

    def says(self, *words: str) -> str:
        command, *rest = words
        places = ["--repository", str(self.folder / "release"), "--keys", str(self.folder / "keys")]
        if command == "publish":
            places += ["--images", str(self.folder)]
        if command in ("publish", "withdraw", "show"):
            places += ["--profile", "minimal"]
        main([command, *rest, *places])
        return self._capsys.readouterr().out

    def refused(self, *words: str) -> str:
        with pytest.raises(SystemExit):
            self.says(*words)
        return self._capsys.readouterr().err

    def verified(self) -> tuple[int, str]:
        root = str(self.folder / "keys/root.json")
        status = goni_update(["verify", str(self.folder / "release"), "--root", root])
        return status, self._capsys.readouterr().out


@pytest.fixture
def builder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Builder:
    return Builder(tmp_path, capsys)


def test_the_drill_from_publishing_to_withdrawing(builder: Builder) -> None:
    said = builder.says("publish", "0.2.0", "--rollout", "10", "--urgency", "a hole")
    assert "stable now offers 0.2.0 (development keys)" in said
    assert json.loads(builder.says("show", "--json"))["offers"] == {"stable": ["0.2.0"], "beta": []}
    status, words = builder.verified()
    assert (status, "4 files signed by development keys" in words) == (0, True)
    assert "timestamp" in builder.says("refresh")
    assert "root is version 2" in builder.says("rotate", "timestamp")
    assert "stable offers nothing now; 5 files removed" in builder.says("withdraw", "0.2.0")
    assert builder.verified()[0] == 0


def test_a_damaged_repository_is_named_file_by_file(builder: Builder) -> None:
    builder.says("publish", "0.2.0")
    place = next((builder.folder / "release").rglob("*.efi.zst"))
    place.write_bytes(place.read_bytes()[:-1])
    status, words = builder.verified()
    assert status == 1 and "FAILED  stable/minimal/0.2.0/goni_0.2.0_x86-64.efi.zst" in words


def test_a_release_with_development_keys_is_refused(builder: Builder) -> None:
    assert "development keys" in builder.refused("publish", "0.2.0", "--release")


def test_a_missing_image_is_named(builder: Builder) -> None:
    said = builder.refused("publish", "0.3.0")
    assert "goni-minimal_0.3.0_x86-64" in said and "make image" in said


def test_an_image_with_a_flipped_bit_is_not_published(builder: Builder) -> None:
    usr = builder.folder / "goni-minimal_0.2.0_x86-64.usr.raw"
    data = bytearray(usr.read_bytes())
    data[5000] ^= 1
    usr.write_bytes(data)
    assert "doesn't belong to its /usr" in builder.refused("publish", "0.2.0")


def test_production_keys_are_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["keys", "--production", str(tmp_path / "keys")]
    main(words)
    assert "root-1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(words)
    assert "holds keys already" in capsys.readouterr().err
