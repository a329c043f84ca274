"""What the build decides before mkosi runs: mirror, mkosi's version, keys, names, room."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from goni_core.errors import BadInput, GoniError
from image import build, keys, mirror, mkosi, setup

TARGETS = [
    "http://mirror.example/debian/|Debian|Debian|Packages",
    "http://mirror.example/debian-security/|Debian|Debian-Security|Packages",
    "http://elsewhere.example/apt|Somebody|Tools|Packages",
    "nonsense",
]
Usage = namedtuple("Usage", "total used free")


def test_the_mirror_is_the_hosts_own() -> None:
    picked = mirror.pick(TARGETS)
    assert picked.main == "http://mirror.example/debian"
    assert picked.security == "http://mirror.example/debian-security"


def test_an_override_wins_over_the_hosts_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONI_MIRROR", "http://near.example/debian")
    assert mirror.pick(TARGETS).main == "http://near.example/debian"


def test_a_host_without_a_debian_mirror_is_told_what_to_do() -> None:
    with pytest.raises(GoniError) as caught:
        mirror.pick(["http://x.example/|Other|Other|Packages"])
    assert "apt-get update" in caught.value.hint


def test_sources_take_updates_security_and_backports_of_one_release() -> None:
    text = mirror.sources(mirror.pick(TARGETS))
    for suite in ("trixie ", "trixie-updates", "trixie-backports", "trixie-security"):
        assert suite in text
    assert text.count("Signed-By:") == 2
    assert "elsewhere" not in text


def test_a_failure_is_blamed_on_a_mirror_that_is_not_there() -> None:
    gone = mirror.Mirror("http://127.0.0.1:9/debian", "")
    blamed = mirror.blame(gone, GoniError("mkosi failed"))
    assert "can't be reached" in blamed.message
    assert "GONI_MIRROR" in blamed.hint


@pytest.mark.parametrize(
    ("said", "expected"),
    [("mkosi 25.3", (25, 3)), ("mkosi 27~devel", (27, 0)), ("mkosi 14", (14, 0)), ("?", (0, 0))],
)
def test_mkosis_version_is_read(said: str, expected: tuple[int, int]) -> None:
    assert mkosi.version(said) == expected


def test_an_old_mkosi_on_the_host_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "mkosi"
    old.write_text("#!/bin/sh\necho mkosi 14\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(mkosi, "package", lambda: tmp_path)
    assert mkosi.command()[0] != str(old)
    old.write_text("#!/bin/sh\necho mkosi 26\n")
    assert mkosi.command() == [str(old)]


def test_development_keys_are_private_and_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = keys.development(folder)
    assert {key.name for key in made} == set(keys.NAMES)
    for key in made:
        assert stat.S_IMODE(Path(key.key).stat().st_mode) == 0o600
        assert keys.is_development(key)
    before = Path(made[0].key).read_bytes()
    keys.development(folder)
    assert Path(made[0].key).read_bytes() == before
    with pytest.raises(GoniError, match="release can't be signed with development keys"):
        keys.refuse_development(made)


def test_git_ignores_the_development_keys() -> None:
    assert "keys/" in Path(".gitignore").read_text().splitlines()


def key_file(folder: Path, text: str) -> Path:
    path = folder / "production.toml"
    path.write_text(text)
    return path


def whole_file(folder: Path) -> str:
    certificate = folder / "x.crt"
    certificate.write_text("x")
    return "".join(
        f'[{name}]\nkey = "pkcs11:object={name}"\ncertificate = "{certificate}"\n'
        'source = "provider:pkcs11"\n'
        for name in keys.NAMES
    )


def test_production_keys_can_live_in_pkcs11(tmp_path: Path) -> None:
    named = keys.from_file(key_file(tmp_path, whole_file(tmp_path)))
    assert "--secure-boot-key=pkcs11:object=secure_boot" in named[0].options()
    assert "--verity-key-source=provider:pkcs11" in named[1].options()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: "[", "production.toml"),
        (lambda text: "", "secure_boot"),
        (lambda text: text + "[extra]\n", "unknown field 'extra'"),
        (lambda text: text.replace("certificate", "certificat"), "unknown field 'certificat'"),
        (lambda text: text.replace("x.crt", "y.crt"), "no certificate"),
        (lambda text: text.replace("provider:pkcs11", "file"), "no key at"),
    ],
)
def test_a_bad_key_file_is_refused_by_name(tmp_path: Path, change, complaint: str) -> None:  # type: ignore[no-untyped-def]
    path = key_file(tmp_path, change(whole_file(tmp_path)))
    with pytest.raises((GoniError, BadInput), match=complaint):
        keys.from_file(path)


def test_the_reference_image_has_the_plain_name() -> None:
    assert build.output_name("reference", "1.2.3") == "goni_1.2.3_x86-64"
    assert build.output_name("minimal", "1.2.3") == "goni-minimal_1.2.3_x86-64"


def test_a_full_disk_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(1, 1, 1 << 30))
    with pytest.raises(GoniError, match="1 GiB free"):
        build.check_host()


def test_missing_packages_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("dpkg", "goni-no-such-package")
    assert setup.missing_packages(wanted) == ["goni-no-such-package"]
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(GoniError) as caught:
        setup.install_packages(wanted)
    assert "goni-no-such-package" in caught.value.message
    assert "sudo apt-get install" in caught.value.hint


@pytest.mark.parametrize("extents", [(), ((0, 5),), ((1 << 21, 7),), ((0, 9), (3 << 20, 1 << 20))])
def test_checksums_of_sparse_files_are_sha256sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extents: tuple[tuple[int, int], ...]
) -> None:
    monkeypatch.setattr(build, "OUT", tmp_path)
    image = tmp_path / "goni_1_x86-64.raw"
    with image.open("wb") as file:
        for start, length in extents:
            file.seek(start)
            file.write(os.urandom(length))
        file.truncate(5 << 20)
    sums = build.write_checksums("goni_1_x86-64")
    wanted = hashlib.sha256(image.read_bytes()).hexdigest()
    assert sums.read_text() == f"{wanted}  {image.name}\n"


def test_setup_says_that_the_disk_is_full_or_the_folder_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    setup.check_room()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10 << 30, 9 << 30, 1 << 30))
    with pytest.raises(GoniError, match=r"1\.0 GiB free .* takes 4 GiB"):
        setup.check_room()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/goni-key").write_text("made already")
    setup.check_room()
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(GoniError, match="not writable"):
        setup.check_room()
