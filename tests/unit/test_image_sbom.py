"""The bill of materials: valid by CycloneDX's own validator, complete, honest about licences."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from goni_core.errors import BadInput, GoniError
from image import licences, sbom

DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Files: *
Copyright: 2001 Somebody
License: Expat

Files: lib/*
License: LGPL-2.1+
 text that says License: nothing

License: Expat
 Permission is hereby granted...
"""


def package(folder: Path, name: str, version: str, text: str = "", link: str = "") -> None:
    """A Debian package with a copyright file, or a link to another's folder."""
    root = folder / f"{name}.tree"
    (root / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@t>\n"
    (root / "DEBIAN/control").write_text(control + "Description: x\n")
    docs = root / "usr/share/doc"
    docs.mkdir(parents=True)
    if link:
        (docs / name).symlink_to(link)
    else:
        (docs / name).mkdir()
        (docs / name / "copyright").write_text(text)
    target = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    words = ["dpkg-deb", "--build", "--root-owner-group", root, target]
    subprocess.run(words, check=True, capture_output=True, timeout=60)


def manifest(**versions: str) -> dict[str, Any]:
    return {
        "config": {"name": "goni", "version": "0.1.0", "release": "trixie"},
        "packages": [
            {
                "type": "deb",
                "name": name.replace("_", "-"),
                "version": version,
                "architecture": "all",
            }
            for name, version in versions.items()
        ],
    }


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sbom, "CACHE", tmp_path / "cache/licences.json")
    package(tmp_path, "libone", "1:2.0-1", DEP5)
    package(tmp_path, "libtwo", "1.0", link="libone")
    package(tmp_path, "firmware-old", "3", "You may copy this firmware.\nLicense: GPL-2\n")
    return tmp_path


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    wheel = tmp_path / "thing-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing-1.2.dist-info/METADATA", "Name: thing\nLicense: MIT License\n\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for name in sbom.LOCKS:
        (tmp_path / name).write_text(f"thing==1.2 --hash=sha256:{digest}\n")
    monkeypatch.setattr(sbom, "HERE", tmp_path)
    monkeypatch.setattr(sbom, "LOCKS", {"parts.lock": "python"})
    return tmp_path


def by_name(components: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in components}


def test_the_document_is_valid_and_lists_everything(
    archives: Path, locks: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"weights")
    image = tmp_path / "goni.raw"
    listed = manifest(libone="1:2.0-1", libtwo="1.0", firmware_old="3", gone="9")
    image.with_suffix(".manifest").write_text(json.dumps(listed))
    initrd = tmp_path / "initrd.manifest"
    initrd.write_text(json.dumps(manifest(libone="1:2.0-1", only_initrd="5")))
    parts = sbom.Parts(initrd, archives, locks, model)
    path = sbom.write(image, parts=parts)
    assert path.name == "goni.cdx.json"
    text = path.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = by_name(json.loads(text)["components"])
    assert {"libone", "libtwo", "firmware-old", "gone"} < set(found)
    assert {"thing", "all-MiniLM-L6-v2", "only-initrd"} < set(found)
    assert len(found) == len(json.loads(text)["components"]) == 7
    assert found["firmware-old"]["type"] == "firmware"
    assert found["thing"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert found["libone"]["purl"] == "pkg:deb/debian/libone@1%3A2.0-1?arch=all&distro=trixie"
    assert sbom.unknown(json.loads(text)) == ["firmware-old", "gone", "only-initrd"]
    assert sbom.write(image, parts=parts).read_text() == text, "the same build, the same document"


def test_licences_are_those_that_the_package_states(archives: Path) -> None:
    found = by_name(sbom.debian(manifest(libone="1:2.0-1", libtwo="1.0"), archives))
    wanted = [{"license": {"id": "MIT"}}, {"license": {"id": "LGPL-2.1-or-later"}}]
    assert found["libone"]["licenses"] == wanted
    assert found["libtwo"]["licenses"] == wanted, "by the link to the other's copyright file"


def test_prose_is_called_unknown_and_not_guessed(archives: Path) -> None:
    (one,) = sbom.debian(manifest(firmware_old="3"), archives)
    assert "unknown" in one["licenses"][0]["license"]["name"]


def test_a_package_is_unpacked_once(archives: Path) -> None:
    sbom.debian(manifest(libone="1:2.0-1"), archives)
    file = archives / "libone_1%3a2.0-1_all.deb"
    file.write_bytes(b"not a package any more")
    (one,) = sbom.debian(manifest(libone="1:2.0-1"), archives)
    assert one["licenses"][0] == {"license": {"id": "MIT"}}


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("Expat", "MIT"),
        ("Apache-2.0", "Apache-2.0"),
        ("GPL-2+ with Autoconf exception", ""),
        ("public-domain", ""),
        ("GPL", ""),
    ],
)
def test_short_names_become_spdx_only_where_both_mean_the_same(name: str, identifier: str) -> None:
    assert licences.spdx(name) == identifier


def test_another_distributions_manifest_is_refused(tmp_path: Path) -> None:
    listed = manifest(x="1")
    listed["packages"][0]["type"] = "rpm"
    with pytest.raises(BadInput):
        sbom.debian(listed, tmp_path)


def test_an_image_without_a_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(GoniError, match="there is no"):
        sbom.write(tmp_path / "x.raw")
