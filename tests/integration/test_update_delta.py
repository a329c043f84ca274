"""A release of a real erofs: the node rebuilds it bit for bit from what it has and a delta."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from goni_core.errors import BadInput, GoniError
from goni_core.run import run
from goni_update import rebuild, verity, version
from goni_update.plan import Base
from goni_update.source import Folder
from goni_update.staging import Staging, staged_name
from image.release import erofs
from image.release.bundle import Image
from image.release.erofs import Erofs
from image.tools import in_tree
from tests.releases import VARIANT, Publisher, noise, trusting, write_image

OLD, NEW = "0.1.0", "0.2.0"
EMPTY: dict[str, object] = {"base": [], "uses": [], "sent": 0, "fresh": [], "moves": []}
EPOCH = 1_790_000_000
"""Seconds since 1970 of the commit that the images are built from."""


def plant(root: Path) -> None:
    """A /usr with everything in it that a real one has, and more nanoseconds."""
    for name in ("lib/python3/goni", "bin", "share/secret"):
        (root / name).mkdir(parents=True)
    (root / "lib/python3/goni/app.py").write_text("def answer():\n    return 41\n" * 400)
    (root / "lib/python3/goni/__init__.py").write_text("")
    (root / "lib/libengine.so.1.2.3").write_bytes(noise("engine", 300_000))
    (root / "lib/libengine.so.1").symlink_to("libengine.so.1.2.3")
    (root / "bin/tool").write_bytes(noise("tool", 50_000))
    os.link(root / "bin/tool", root / "bin/tool-by-another-name")
    (root / "bin/tool").chmod(0o4755)
    (root / "share/größe").write_text("an accent")
    (root / "share/shadow").write_text("for root alone")
    (root / "share/shadow").chmod(0o640)
    (root / "share/secret/inside").write_text("for root alone too")
    (root / "share/secret").chmod(0o700)
    for number in range(600):  # a folder of several blocks
        (root / f"share/a-file-with-quite-a-long-name-{number}").write_text(str(number))
    os.utime(root / "bin/tool", ns=(1, 1_700_000_000_123_456_789))


def change(root: Path) -> None:
    """What a release changes: some Python, a library's name, what is gone and what is new."""
    app = root / "lib/python3/goni/app.py"
    app.write_text(app.read_text().replace("41", "42", 3))
    (root / "lib/libengine.so.1").unlink()
    (root / "lib/libengine.so.1.2.3").rename(root / "lib/libengine.so.1.2.4")
    (root / "lib/libengine.so.1").symlink_to("libengine.so.1.2.4")
    (root / "share/größe").unlink()
    (root / "share/new").write_text("new")
    (root / "share/secret/inside").write_text("changed, for root alone")
    os.utime(root / "share/a-file-with-quite-a-long-name-7", ns=(1, 1_800_000_000_000_000_001))


def make_erofs(root: Path, target: Path) -> Path:
    """As a build makes /usr: from a folder, and not from an archive as the node does, with no file
    newer than the commit.
    """
    for path in (root, *root.rglob("*")):
        if path.lstat().st_mtime > EPOCH:
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    words = ["mkfs.erofs", "--quiet", "-U", "6f1f0b2c-6cc1-4a2b-9d8e-0123456789ab", "-zzstd"]
    argv = in_tree([*words, target.absolute(), root.absolute()])
    run(argv, timeout=300, env={"SOURCE_DATE_EPOCH": str(EPOCH)})
    return target


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Image, Image]:
    """The running version's tree, its image and the next one's."""
    folder = tmp_path_factory.mktemp("pair")
    old, new = folder / "usr", folder / "next"
    plant(old)
    shutil.copytree(old, new, symlinks=True, copy_function=shutil.copy2)
    (new / "bin/tool-by-another-name").unlink()
    os.link(new / "bin/tool", new / "bin/tool-by-another-name")
    change(new)
    efi = noise("kernel", 200_000)
    images = []
    for number, root, uki in ((OLD, old, efi + b"old"), (NEW, new, efi + b"new")):
        data = make_erofs(root, folder / f"{number}.erofs").read_bytes()
        images.append(write_image(folder / f"goni_{number}", number, usr=data, efi=uki))
    return old, images[0], images[1]


@pytest.fixture
def publisher(tmp_path: Path, pair: tuple[Path, Image, Image]) -> Publisher:
    made = Publisher(tmp_path / "builder")
    made.folder.mkdir()
    made.start()
    for number, image in ((OLD, pair[1]), (NEW, pair[2])):
        made.publish(number, image=image, deltas=1)
    return made


def bring(
    publisher: Publisher, folder: Path, base: Base | None, monkeypatch: pytest.MonkeyPatch
) -> tuple[Staging, int]:
    """Stage the newest release; where it is and how many bytes came."""
    # On a node mkfs.erofs is part of the image; here it is in the tools tree.
    monkeypatch.setattr(rebuild, "MKFS", tuple(in_tree(["mkfs.erofs"])))
    trusted = trusting(publisher, folder, Folder(publisher.repository))
    trusted.refresh()
    release = trusted.catalog("stable", VARIANT).releases[0]
    fetched: list[int] = []
    area = Staging(
        folder,
        trusted,
        Folder(publisher.repository),
        lambda stage, done, total: fetched.append(done) if stage == "fetch" else None,
    )
    area.bring(release, base)
    for part in ("usr", "usr-verity", "usr-verity-sig", "efi"):
        assert (area.staged / staged_name(release, part)).stat().st_size == release.part(part).bytes
    return area, max(fetched)


@pytest.fixture
def running(pair: tuple[Path, Image, Image]) -> Iterator[Base]:
    image = os.open(pair[1].files["usr"], os.O_RDONLY)
    yield Base(version.parse(OLD), pair[0], image, pair[1].files["efi"])
    os.close(image)


def test_an_erofs_is_read_as_the_kernel_shows_it(pair: tuple[Path, Image, Image]) -> None:
    opened = Erofs(pair[1].files["usr"])
    try:
        entries = list(opened.entries())
    finally:
        opened.close()
    found = {one.path: (one.mode, one.size) for one in entries if one.kind == erofs.FILE}
    links = {one.path for one in entries if one.kind == erofs.SAME}
    real = {str(path.relative_to(pair[0])): path.lstat() for path in pair[0].rglob("*")}
    assert {*real, ""} == {one.path for one in entries}
    assert len(links) == 1 and links < {"bin/tool", "bin/tool-by-another-name"}
    for path, (mode, size) in found.items():
        assert (mode, size) == (real[path].st_mode & 0o7777, real[path].st_size)
    seen = {one.path for one in erofs.visible(entries)}
    assert "lib/libengine.so.1.2.3" in seen
    assert not seen & {"share/secret", "share/secret/inside", "share/shadow"}


def test_a_delta_brings_the_same_bytes_for_a_fraction(
    publisher: Publisher,
    pair: tuple[Path, Image, Image],
    running: Base,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, all_bytes = bring(publisher, tmp_path / "whole", None, monkeypatch)
    small, few_bytes = bring(publisher, tmp_path / "small", running, monkeypatch)
    for path in whole.staged.iterdir():
        assert (small.staged / path.name).read_bytes() == path.read_bytes()
    assert few_bytes * 20 < all_bytes
    usr = pair[2].files["usr"].read_bytes()[: pair[2].usr_bytes]
    assert next(small.staged.glob("*.usr.raw")).read_bytes() == usr


def test_a_delta_that_leads_elsewhere_is_replaced_by_the_whole_file(
    publisher: Publisher,
    pair: tuple[Path, Image, Image],
    running: Base,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The running /usr isn't what the delta was made from, as after a defect of the disk."""
    broken = tmp_path / "usr.raw"
    data = bytearray(pair[1].files["usr"].read_bytes())
    data[data.index(noise("engine", 4096))] ^= 1
    broken.write_bytes(data)
    image = os.open(broken, os.O_RDONLY)
    try:
        area, _ = bring(publisher, tmp_path / "node", replace(running, image=image), monkeypatch)
    finally:
        os.close(image)
    usr = pair[2].files["usr"].read_bytes()[: pair[2].usr_bytes]
    assert next(area.staged.glob("*.usr.raw")).read_bytes() == usr


def test_without_the_running_image_everything_is_fetched_whole(
    publisher: Publisher, running: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, all_bytes = bring(publisher, tmp_path / "whole", None, monkeypatch)
    _, bytes_ = bring(publisher, tmp_path / "node", replace(running, image=None), monkeypatch)
    assert bytes_ > all_bytes / 2


def test_no_delta_is_published_that_is_larger_than_the_file(publisher: Publisher) -> None:
    noisy = write_image(publisher.folder / "noisy", "0.3.0")
    listed = publisher.publish("0.3.0", image=noisy, deltas=2)
    assert listed.releases[0].deltas == ()
    assert {one.part for one in listed.releases[1].deltas} == {"usr", "efi"}


@pytest.mark.parametrize(
    "path", ["../etc/shadow", "/etc/shadow", "lib/../../etc/shadow", "", "a//b", "./a"]
)
def test_a_header_can_not_name_files_outside_of_usr(path: str) -> None:
    with pytest.raises(BadInput, match="leaves /usr"):
        rebuild.header(json.dumps({**EMPTY, "uses": [path]}).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"moves": [[3, 0, 1]]},
        {"moves": [[0, -1, 1]]},
        {"moves": [[0, 0, 1 << 40]]},
        {"moves": [[0, 0]]},
        {"base": [["0", 1]]},
        {"fresh": [1.5]},
        {"sent": -1},
        {"more": 1},
    ],
)
def test_a_header_with_a_wrong_field_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        rebuild.header(json.dumps({**EMPTY, **wrong}).encode())


@pytest.mark.parametrize(
    ("move", "reason"),
    [([0, 0, 3], "aren't there"), ([0, 5, 2], "aren't there"), ([0, 0, 9], "size")],
)
def test_a_delta_can_not_ask_for_more_than_there_is(
    move: list[int], reason: str, tmp_path: Path
) -> None:
    head = json.dumps({**EMPTY, "base": [[0, 1]], "moves": [move]}).encode()
    base = tmp_path / "zeros"
    base.write_bytes(bytes(rebuild.BLOCK))
    (tmp_path / "sent").write_bytes(b"nothing of use")
    words = ["zstd", "-q", f"--patch-from={base}", tmp_path / "sent", "-o", tmp_path / "patch.zst"]
    run(words, timeout=60)
    packed = run(["zstd", "-q", "-c"], input=head, timeout=60).stdout
    rebuild.join(tmp_path / "delta", packed, tmp_path / "patch.zst")
    old = tmp_path / "image"
    old.write_bytes(bytes(2 * rebuild.BLOCK))
    with old.open("rb") as image, pytest.raises(BadInput, match=reason):
        rebuild.usr(
            image.fileno(),
            tmp_path,
            tmp_path / "delta",
            tmp_path / "made",
            tmp_path,
            limit=min(move[2], 3) * rebuild.BLOCK,
            mkfs=in_tree(["mkfs.erofs"]),
        )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GONIDLT2",
        b"GONIDLT2\xff\xff\xff\xff",
        b"GONIDLT2\0\0\0\x09short",
        b"GONIDLT1\0\0\0\1x",
        b"x" * 99,
    ],
)
def test_what_is_no_delta_is_said_to_be_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "delta").write_bytes(data)
    with pytest.raises(BadInput):
        rebuild.split(tmp_path / "delta", tmp_path)


def test_a_patch_that_grows_without_end_is_ended(tmp_path: Path) -> None:
    old, new, patch = tmp_path / "old", tmp_path / "new", tmp_path / "patch"
    old.write_bytes(b"old")
    new.write_bytes(bytes(32 << 20))
    run(["zstd", "-q", "--long=31", f"--patch-from={old}", new, "-o", patch], timeout=60)
    with pytest.raises(GoniError):
        rebuild.patched(old, patch, tmp_path / "again", limit=1 << 20)
    assert not (tmp_path / "again").exists() or (tmp_path / "again").stat().st_size <= 1 << 20


def test_our_hash_tree_is_veritysetups(tmp_path: Path) -> None:
    data, hashes = tmp_path / "data", tmp_path / "hashes"
    data.write_bytes(noise("verity", 300 * verity.BLOCK))
    run(in_tree(["veritysetup", "format", data, hashes]), timeout=60)
    made = hashes.read_bytes()
    root, content = verity.tree(data, verity.superblock(made[:512]))
    assert made[: len(content)] == content
    run(in_tree(["veritysetup", "verify", data, hashes, root]), timeout=60)
