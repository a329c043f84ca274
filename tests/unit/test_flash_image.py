"""What counts as an image, and as one that its builder signed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from goni_core.errors import BadInput, Forbidden, GoniError, NotFound
from goni_core.progress import Bar, JsonLines, Monitor, bar
from goni_flash import blockmap, signature, source
from image import bmap, build, keys
from tests import disk_image

QUIET = Monitor()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    return disk_image.make(folder / "goni_1_x86-64.raw", size=24 << 20, data=3 << 20)


def content(path: Path) -> bytes:
    """The image put together from its pieces."""
    buffers = source.Buffers(2)
    whole = bytearray()
    for piece in source.open_image(path, QUIET).pieces(buffers):
        assert piece.at == len(whole), "pieces come in order, without gaps"
        assert 0 < piece.length <= (source.BLOCK if piece.buffer else source.HOLE)
        whole += piece.buffer[: piece.length] if piece.buffer else bytes(piece.length)
        if piece.buffer:
            buffers.give(piece.buffer)
    return bytes(whole)


def test_pieces_are_the_image_whatever_it_comes_as(image: Path, tmp_path: Path) -> None:
    wanted = image.read_bytes()
    assert content(image) == wanted
    dense = tmp_path / image.name
    dense.write_bytes(wanted)
    assert content(dense) == wanted
    for level, name in (("-1", "a.raw.zst"), ("-5", "b.raw.zst")):
        subprocess.run(["zstd", "-q", level, image, "-o", tmp_path / name], check=True, timeout=60)
        assert content(tmp_path / name) == wanted
    two = (tmp_path / "a.raw.zst").read_bytes() + subprocess.run(
        ["zstd", "-q", "-c"], input=bytes(4096), capture_output=True, check=True, timeout=60
    ).stdout
    (tmp_path / "c.raw.zst").write_bytes(two)
    assert content(tmp_path / "c.raw.zst") == wanted + bytes(4096), "frames follow each other"


def test_holes_carry_no_data(image: Path) -> None:
    buffers = source.Buffers(16)
    pieces = list(source.open_image(image, QUIET).pieces(buffers))
    carried = sum(piece.length for piece in pieces if piece.buffer)
    assert carried < image.stat().st_size * 0.75


def test_a_damaged_or_cut_image_is_refused(image: Path, tmp_path: Path) -> None:
    packed = tmp_path / "x.raw.zst"
    subprocess.run(["zstd", "-q", image, "-o", packed], check=True, timeout=60)
    whole = packed.read_bytes()
    for bad in (whole[: len(whole) // 2], b"not zstd", whole[:100] + b"xxxx" + whole[104:], b""):
        packed.write_bytes(bad)
        with pytest.raises(BadInput):
            source.open_image(packed, QUIET)
    raw = tmp_path / "x.raw"
    plain = image.read_bytes()
    flipped = bytearray(plain)
    flipped[512 + 40] ^= 1
    for bad in (plain[:-512], plain[:1000], b"", bytes(4096), bytes(flipped)):
        raw.write_bytes(bad)
        with pytest.raises(BadInput):
            source.open_image(raw, QUIET)
    with pytest.raises(NotFound):
        source.open_image(tmp_path / "none.raw", QUIET)


def test_a_window_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "x.raw.zst"
    words = ["zstd", "-q", "--ultra", "-22", "--long=31", "-c"]
    made = subprocess.run(
        words, input=os.urandom(1000), capture_output=True, check=False, timeout=60
    )
    # Magic number, a frame header without a size, window of 2 GiB (RFC 8878, section 3.1.1.1.2).
    bomb.write_bytes(b"\x28\xb5\x2f\xfd\x00\xa8" + made.stdout[-20:])
    with pytest.raises(BadInput, match="damaged"):
        source.open_image(bomb, QUIET)


def test_endless_zeros_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LARGEST", 16 << 20)
    bomb = tmp_path / "x.raw.zst"
    made = subprocess.run(
        ["zstd", "-q", "-c"], input=bytes(32 << 20), capture_output=True, check=True, timeout=60
    )
    bomb.write_bytes(made.stdout)
    with pytest.raises(BadInput, match="more than any image"):
        source.open_image(bomb, QUIET)


@pytest.mark.parametrize("kind", ["ed25519", "rsa:2048"])
def test_a_signed_image_is_taken(image: Path, tmp_path: Path, kind: str) -> None:
    key, certificate = disk_image.make_key(tmp_path, kind=kind)
    disk_image.sign(image, key)
    opened = source.open_image(image, QUIET)
    signature.check(opened, signature.load(certificate), QUIET)
    with pytest.raises(Forbidden) as caught:
        other = signature.load(disk_image.make_key(tmp_path, "other", kind)[1])
        signature.check(opened, other, QUIET)
    assert caught.value.code == "bad_signature"


def test_the_builds_own_key_signs_what_goni_flash_takes(image: Path, tmp_path: Path) -> None:
    (key,) = (one for one in keys.development(tmp_path / "keys") if one.name == "image")
    assert key.options() == []
    sums = image.with_name("SHA256SUMS")
    sums.write_text(f"{signature.digest(image, QUIET)}  {image.name}\n")
    assert keys.sign(key, sums) == image.with_name("SHA256SUMS.sig")
    signer = signature.load(key.certificate)
    assert signer.development
    signature.check(source.open_image(image, QUIET), signer, QUIET)
    words = ["openssl", "pkeyutl", "-verify", "-rawin", "-certin", "-inkey", key.certificate]
    words += ["-in", sums, "-sigfile", f"{sums}.sig"]
    subprocess.run(words, check=True, timeout=60, capture_output=True)


@pytest.mark.parametrize("profile", build.PROFILES)
def test_what_make_image_leaves_is_what_goni_flash_looks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    monkeypatch.setattr(build, "OUT", tmp_path)
    image = disk_image.make(build.image_path(profile), size=24 << 20, data=1 << 20)
    name = build.output_name(profile, build.version())
    bmap.write(image)
    sums = build.write_checksums(name)
    (key,) = (one for one in keys.development(tmp_path / "keys") if one.name == "image")
    keys.sign(key, sums)
    build.write_checksums(name)  # a second build: its own list and signature aren't in the list
    assert set(signature.listed(sums.read_bytes())) == {image.name, f"{name}.bmap"}
    assert signature.find_list(image) == sums
    signature.check(source.open_image(image, QUIET), signature.load(key.certificate), QUIET)


def test_what_is_not_signed_whole_is_refused(image: Path, tmp_path: Path) -> None:
    key, certificate = disk_image.make_key(tmp_path)
    signer = signature.load(certificate)
    sums = disk_image.sign(image, key)
    proof = sums.with_name("SHA256SUMS.sig")
    opened = source.open_image(image, QUIET)
    text, good = sums.read_bytes(), proof.read_bytes()
    for changed in (text.replace(b"a", b"b", 1), text + text):
        sums.write_bytes(changed)
        with pytest.raises(Forbidden, match="not signed by"):
            signature.check(opened, signer, QUIET)
    sums.write_bytes(text)
    for bad in (b"", good[:-1], bytes(64), good + b"\n"):
        proof.write_bytes(bad)
        with pytest.raises(Forbidden, match="not signed by"):
            signature.check(opened, signer, QUIET)
    proof.unlink()
    with pytest.raises(Forbidden, match="is not signed: there is no"):
        signature.check(opened, signer, QUIET)
    sums.unlink()
    with pytest.raises(Forbidden, match="no SHA256SUMS beside"):
        signature.check(opened, signer, QUIET)


def test_a_signed_block_map_spares_the_holes_and_hides_nothing(tmp_path: Path) -> None:
    image = disk_image.make(tmp_path / "goni_1_x86-64.raw", size=24 << 20, data=3 << 20)
    mapped = bmap.write(image)
    key, certificate = disk_image.make_key(tmp_path)
    disk_image.sign(image, key)
    signer = signature.load(certificate)
    seen = Seen()
    signature.check(source.open_image(image, QUIET), signer, seen)
    assert sum(seen.totals) < image.stat().st_size * 0.75

    def changed(at: int) -> None:
        with image.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))

    for at in (disk_image.USR_AT + 5, 20 << 20):  # inside the data; in a hole
        changed(at)
        with pytest.raises(Forbidden, match="checksum differs"):
            signature.check(source.open_image(image, QUIET), signer, QUIET)
        changed(at)
    dense = Seen()
    signature.check(source.open_image(image, QUIET), signer, dense)  # a hole less: all is hashed
    assert dense.totals == [image.stat().st_size]
    mapped.write_text(mapped.read_text().replace("chksum", "chksun", 1))
    signature.check(source.open_image(image, QUIET), signer, QUIET)  # not the signed one: not used


class Seen(Monitor):
    """Remembers how much each phase was about."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: list[int] = []

    def phase(self, name: str, total: int, *, done: int = 0) -> None:
        super().phase(name, total, done=done)
        self.totals.append(total)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<bmap/>",
        b"<bmap><ImageSize>1</ImageSize><BlockSize>x</BlockSize></bmap>",
        b"<bmap><ImageSize>8192</ImageSize><BlockSize>4096</BlockSize><BlockMap>"
        b"<Range chksum='a'>1</Range><Range chksum='b'>0-1</Range></BlockMap></bmap>",
        b"<bmap><ImageSize>8192</ImageSize><BlockSize>4096</BlockSize><BlockMap>"
        b"<Range>1</Range></BlockMap></bmap>",
    ],
)
def test_a_strange_block_map_is_refused(document: bytes) -> None:
    with pytest.raises(BadInput):
        blockmap.parse(document)


@pytest.mark.parametrize("text", [b"", b"x", b"\xff\n", b"a" * 64, b"a" * 64 + b"  ../x\n"])
def test_a_strange_list_of_checksums_is_refused(text: bytes) -> None:
    with pytest.raises(BadInput):
        signature.listed(text)


def test_a_key_has_to_be_named_or_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Forbidden, match="no key"):
        signature.signer(None)
    with pytest.raises(BadInput):
        signature.signer(tmp_path / "none.crt")
    (tmp_path / "bad.crt").write_text("-----BEGIN CERTIFICATE-----\nx\n")
    with pytest.raises(BadInput, match="not a PEM certificate"):
        signature.signer(tmp_path / "bad.crt")
    (tmp_path / "keys").mkdir()
    _, certificate = disk_image.make_key(tmp_path)
    certificate.rename(tmp_path / "keys/image.crt")
    assert signature.signer(None).name == "Test image"


@pytest.mark.parametrize("blocks", [(), (0,), (255,), (0, 1, 2, 100), tuple(range(256))])
def test_bmaptool_takes_our_block_map(tmp_path: Path, blocks: tuple[int, ...]) -> None:
    image = tmp_path / "x.raw"
    with image.open("wb") as file:
        file.truncate(1 << 20)
        for block in blocks:
            file.seek(block * 4096)
            file.write(os.urandom(4096))
    made = bmap.write(image)
    assert made == tmp_path / "x.bmap"
    copied = tmp_path / "copy"
    words = ["bmaptool", "--quiet", "copy", "--bmap", made, image, copied]
    subprocess.run(words, check=True, timeout=60)
    assert copied.read_bytes() == image.read_bytes()
    if blocks:
        with image.open("r+b") as file:
            file.seek(blocks[0] * 4096)
            file.write(b"other")
        assert subprocess.run(words, check=False, timeout=60, capture_output=True).returncode != 0


def test_progress_is_a_line_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert bar("write", 1 << 30, 2 << 30, 100e6, 10.7).endswith(
        "50 %  1.1 GB of 2.1 GB  100.0 MB/s  0:11 left"
    )
    assert "left" not in bar("write", 0, 1, 0.0, None)
    assert "100 %" in bar("write", 0, 0, 0.0, None)
    for monitor in (Bar(), JsonLines()):
        monitor.phase("write", 100)
        monitor.advance(100)
    out, err = capsys.readouterr()
    assert '"seconds_left": 0' in out
    assert err.startswith("write")


def test_a_file_that_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    image = disk_image.make(tmp_path / "x.raw", size=24 << 20, data=3 << 20)
    opened = source.open_image(image, QUIET)
    os.truncate(image, 10 << 20)
    with pytest.raises(GoniError, match="changed its size"):
        for _ in opened.pieces(source.Buffers(64)):
            pass
