"""What is in the image, as a CycloneDX 1.6 bill of materials: ``python -m image.sbom IMAGE``.

Debian packages come from mkosi's manifest, the rest from the hash-locked files that the build used.
Licences are those that each part states itself; where it only tells them in prose the entry says
"unknown" and where to read. No time stamp and no random serial number: one build, one document.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from goni_core import fields, files
from goni_core.contract import EMBEDDING_FILE, EMBEDDING_MODEL
from goni_core.errors import BadInput, GoniError, exit_with
from image import licences, locked, tools

HERE = Path(__file__).parent
CACHE = Path("out/cache/licences.json")
FIRMWARE = ("firmware-", "amd64-microcode", "intel-microcode")
LOCKS = {"engine.lock": "engine", "parts.lock": "python", "embedding.lock": "model source"}

Component = dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """Where the build left what it used: the initrd's manifest, apt's packages, locked files, the
    converted model.
    """

    initrd: Path = Path("out/cache/initrd/initrd.manifest")
    archives: Path = tools.PACKAGES / "cache/apt/archives"
    sources: Path = Path("out/cache/sources")
    model: Path = Path("out/models") / EMBEDDING_FILE


PARTS = Parts()


def write(image: Path, target: Path | None = None, parts: Parts = PARTS) -> Path:
    """Describe ``image`` beside it (``.cdx.json``), or in ``target``; where."""
    target = target or image.with_suffix(".cdx.json")
    manifest = _manifest(image.with_suffix(".manifest"))
    system = debian(manifest, parts.archives)
    initrd = debian(_manifest(parts.initrd), parts.archives)
    known = {one["bom-ref"] for one in system}
    system += [one for one in initrd if one["bom-ref"] not in known]
    document = describe(manifest, [*system, *pinned(parts.sources), model(parts.model)])
    files.write(target, json.dumps(document, indent=1).encode() + b"\n", mode=0o644)
    return target


def _manifest(path: Path) -> fields.Object:
    try:
        return fields.parse(path.read_bytes())
    except OSError as error:
        raise GoniError(f"there is no {path}", hint="make image") from error


def describe(manifest: fields.Object, components: list[Component]) -> dict[str, Any]:
    """The whole document; its serial number follows from what it says."""
    config = manifest["config"]
    version = fields.text(config, "version")
    body = {
        "version": 1,
        "metadata": {
            "component": {
                "type": "operating-system",
                "bom-ref": f"goni@{version}",
                "name": fields.text(config, "name"),
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": sorted(components, key=lambda one: str(one["bom-ref"])),
        "dependencies": [
            {
                "ref": f"goni@{version}",
                "dependsOn": sorted(str(one["bom-ref"]) for one in components),
            }
        ],
    }
    name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, name).urn,
        **body,
    }


def debian(manifest: fields.Object, archives: Path) -> list[Component]:
    """A component per Debian package; :class:`BadInput` for a manifest of another kind."""
    packages = fields.objects(manifest, "packages", most=100_000)
    found = {_file(package): package for package in packages}
    here = [archives / name for name in found if (archives / name).is_file()]
    stated = licences.of_packages(here, CACHE)
    release = fields.text(manifest["config"], "release")
    return [_package(package, release, stated.get(name)) for name, package in found.items()]


def _file(package: fields.Object) -> str:
    """The name of the package's file in apt's cache, where colons are escaped."""
    if fields.text(package, "type") != "deb":
        raise BadInput("the manifest lists something other than Debian packages")
    parts = (fields.text(package, name) for name in ("name", "version", "architecture"))
    return "_".join(parts).replace(":", "%3a") + ".deb"


def _package(package: fields.Object, release: str, stated: list[str] | None) -> Component:
    name, version = fields.text(package, "name"), fields.text(package, "version")
    architecture = fields.text(package, "architecture")
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}&distro={release}"
    kind = "firmware" if name.startswith(FIRMWARE) else "library"
    return {
        "type": "operating-system" if name.startswith("linux-image-") else kind,
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": licence_list(stated or [], f"usr/share/doc/{name}/copyright"),
    }


def licence_list(stated: list[str], where: str) -> list[dict[str, Any]]:
    """CycloneDX's choice of licences: identifiers where there is one, names elsewhere."""
    if not stated:
        return [{"license": {"name": f"unknown; see {where} of the package"}}]
    named = [(licences.spdx(name), name) for name in stated]
    unique = dict.fromkeys((known or name, bool(known)) for known, name in named)
    return [{"license": {"id" if known else "name": name}} for name, known in unique]


def pinned(sources: Path) -> Iterator[Component]:
    """A component per line of the lock files: the engine, Python parts, the model's source."""
    for lock, use in LOCKS.items():
        paths = locked.find(HERE / lock, sources)
        for pin in locked.pins((HERE / lock).read_text()):
            purl = f"pkg:pypi/{pin.name}@{pin.version}"
            yield {
                "type": "application" if use == "engine" else "library",
                "bom-ref": purl,
                "name": pin.name,
                "version": pin.version,
                "purl": purl,
                "hashes": [{"alg": "SHA-256", "content": pin.sha256}],
                "licenses": licence_list(_metadata(paths[pin.name]), "METADATA"),
                "properties": [{"name": "goni:use", "value": use}],
            }


def _metadata(path: Path) -> list[str]:
    """The licences that a wheel's or source distribution's metadata states (PEP 639, PEP 314)."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("info/METADATA"))
            text = archive.read(name)
    else:
        with tarfile.open(path) as tar:
            member = next(one for one in tar if one.name.count("/") == 1 and "PKG-INFO" in one.name)
            file = tar.extractfile(member)
            text = file.read() if file else b""
    headers = email.message_from_bytes(text)
    said = headers.get("License-Expression") or headers.get("License") or ""
    aliases = {"MIT License": "MIT", "Apache License, Version 2.0": "Apache-2.0"}
    alone = aliases.get(said.strip(), said.strip())
    parts = [aliases.get(part.strip(), "") for part in said.split(", ")]
    if "," in said and "MIT" in parts:  # "MIT License, Apache License, Version 2.0"
        return ["MIT", "Apache-2.0"]
    return [alone] if alone else []


def model(path: Path) -> Component:
    """The embedding model as it is in the image: converted from what the lock names."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{EMBEDDING_MODEL}",
        "name": EMBEDDING_MODEL,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }


def unknown(document: dict[str, Any]) -> list[str]:
    """The components whose licence could not be told."""
    return [
        str(one["name"])
        for one in document["components"]
        if any("unknown" in str(entry["license"].get("name", "")) for entry in one["licenses"])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="image.sbom", description="An image's bill of materials.")
    parser.add_argument("image", type=Path, metavar="IMAGE", help="out/goni_<version>_x86-64.raw")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: beside the image")
    given = parser.parse_args()
    try:
        path = write(given.image, given.output)
    except GoniError as error:
        exit_with(error)
    document = json.loads(path.read_text())
    print(path)
    print(f"{len(document['components'])} components, licence unknown: {len(unknown(document))}")


if __name__ == "__main__":
    main()
