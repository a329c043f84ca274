"""What the image bench reads and does besides booting: file systems, packages, a changed line."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from goni_core.errors import BadInput, GoniError
from tests.bench import bare, boot, rebuild, sizes

INDEX = """\
Package: small
Version: 1
Installed-Size: 10
Description: a small one
 Package: not this

Package: large
Version: 2
Installed-Size: 3000

Package: large
Version: 1
Installed-Size: 1

Package: unrelated
Version: 1
Installed-Size: 99999
"""


def superblock(blocks: int, *, bits: int = 12, magic: int = sizes.MAGIC) -> bytes:
    """The start of an erofs file system of ``blocks`` blocks."""
    head = bytearray(128)
    struct.pack_into("<I", head, 0, magic)
    head[12] = bits
    struct.pack_into("<I", head, 36, blocks)
    return bytes(sizes.SUPERBLOCK) + bytes(head)


def test_the_file_system_counts_and_not_its_slot(tmp_path: Path) -> None:
    slot = tmp_path / "usr.raw"
    with slot.open("wb") as sink:
        sink.write(superblock(1000))
        sink.truncate(64 << 20)
    assert sizes.erofs_bytes(slot) == 4_096_000


@pytest.mark.parametrize(
    "data", [b"", superblock(1)[:1050], superblock(1, magic=1), superblock(1, bits=40)]
)
def test_what_is_no_erofs_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "usr.raw"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="erofs"):
        sizes.erofs_bytes(path)


def test_packages_have_the_size_of_their_own_version(tmp_path: Path) -> None:
    manifest, index = tmp_path / "goni.manifest", tmp_path / "main_Packages"
    index.write_text(INDEX)
    packages = [{"name": name, "version": "2"} for name in ("small", "large", "unheard-of")]
    manifest.write_text(json.dumps({"packages": packages}))
    found = sizes.package_bytes(manifest, [index])
    assert found == {"small": 10 << 10, "large": 3000 << 10}
    assert sizes.largest(found) == ["large", "small"]


def test_an_image_without_any_index_is_an_error(tmp_path: Path) -> None:
    manifest = tmp_path / "goni.manifest"
    manifest.write_text('{"packages": [{"name": "small", "version": "1"}]}')
    with pytest.raises(GoniError, match="no package index"):
        sizes.package_bytes(manifest, [])


def test_links_and_caches_weigh_nothing(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.pyc").write_bytes(bytes(100))
    (tmp_path / "library").write_bytes(bytes(7))
    (tmp_path / "link").symlink_to("library")
    assert sizes.tree_bytes(tmp_path) == 7


def test_a_rebuild_sees_one_more_line_then_the_file_as_it_was(tmp_path: Path) -> None:
    changed = tmp_path / "module.py"
    changed.write_text('"""A module."""\n')
    changed.chmod(0o644)
    seen: list[str] = []
    row = rebuild.row(changed=changed, build=lambda: seen.append(changed.read_text()))
    assert seen == ['"""A module."""\n' + rebuild.LINE.decode(), '"""A module."""\n']
    assert changed.stat().st_mode & 0o777 == 0o644
    assert (row.runs, row.target, row.ok) == (2, 60.0, True)


@pytest.mark.parametrize("error", [GoniError("it failed"), KeyboardInterrupt()])
def test_a_build_that_breaks_off_leaves_the_file_as_it_was(
    tmp_path: Path, error: BaseException
) -> None:
    changed = tmp_path / "module.py"
    changed.write_text("before\n")

    def broken() -> None:
        raise error

    with pytest.raises(type(error)):
        rebuild.row(changed=changed, build=broken)
    assert changed.read_text() == "before\n"


def test_the_added_line_is_a_comment_of_its_own() -> None:
    whole = rebuild.CHANGED.read_bytes()
    assert (
        whole.endswith(b"\n") and rebuild.LINE.startswith(b"#") and rebuild.LINE.count(b"\n") == 1
    )
    assert rebuild.LINE not in whole
    compile(whole + rebuild.LINE, "x", "exec")


def test_boots_are_compared_within_each_run() -> None:
    samples = [
        {"Goni": (90.0, 60.0), "Debian": (45.0, 40.0)},
        {"Goni": (110.0, 64.0), "Debian": (50.0, 40.0)},
        {"Goni": (100.0, 80.0), "Debian": (50.0, 50.0)},
    ]
    found = {row.figure: row for row in boot.compared(samples, "tcg")}
    first, second = found["first boot: Goni / Debian"], found["second boot: Goni / Debian"]
    assert (first.value, first.least, first.most, first.ok) == (2.0, 2.0, 2.2, True)
    assert (second.value, second.runs) == (1.6, 3)
    assert found["second boot: Goni to setup page (tcg)"].value == 64.0
    assert found["first boot: Debian to multi-user (tcg)"].target is None


@pytest.mark.parametrize(
    "line",
    [
        "[  OK  ] Reached target multi-user.target - Multi-User System.",
        "[  OK  ] Reached target Multi-User System.",
    ],
)
def test_the_end_of_debians_boot_is_recognised(line: str) -> None:
    assert boot.MULTI_USER.search(line)
    assert not boot.MULTI_USER.search("[  OK  ] Stopped target multi-user.target")


def test_another_configuration_or_key_is_another_debian(tmp_path: Path) -> None:
    configuration, certificate = tmp_path / "debian", tmp_path / "key.crt"
    configuration.mkdir()
    (configuration / "mkosi.conf").write_text("[Output]\n")
    certificate.write_text("one")
    first = bare.depends_on(configuration, certificate)
    assert bare.depends_on(configuration, certificate) == first
    (configuration / "mkosi.conf").write_text("[Output]\nFormat=disk\n")
    second = bare.depends_on(configuration, certificate)
    certificate.write_text("other")
    assert len({first, second, bare.depends_on(configuration, certificate)}) == 3
