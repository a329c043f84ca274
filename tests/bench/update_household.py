"""A household of four that updates by deltas, and the writing of a slot.

The mesh's channel is a test double, folders; repository, trust, staging, the writer and
systemd-sysupdate are real, the disk is a file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from goni_core.run import run
from goni_update import rebuild, writer
from goni_update.peers import Nearest
from goni_update.plan import Base
from goni_update.source import Folder
from goni_update.staging import Staging
from image.release import delta
from image.release.bundle import Image
from image.tools import in_tree
from tests.bench.rows import Row, measured
from tests.integration import update_node
from tests.integration.update_node import Node
from tests.integration.update_peers import Line, Near
from tests.releases import VARIANT, Publisher, trusting

NODES = 4
CHANNEL = "stable"


def rows_of(old: Image, new: Image, old_usr: Path, runs: int, work: Path) -> list[Row]:
    """Bytes over the outside line, and seconds to write a slot against dd."""
    work = work.absolute()  # systemd-sysupdate takes no other
    rebuild.MKFS = tuple(in_tree(["mkfs.erofs"]))
    publisher = _published(old, new, work)
    image = os.open(old_usr, os.O_RDONLY)
    try:
        with delta.unpacked(old_usr, work) as tree:
            base = Base(old.version, tree.folder, image, old.files["efi"])
            bytes_ = _household(publisher, base, work)
            node = _node(publisher, old, new, work)
            _bring(publisher, node.state, base, Line(Folder(publisher.repository)), Near())
    finally:
        os.close(image)
    slot = [_write(node, new) for _ in range(runs)]
    plain = [_dd(node, work) for _ in range(runs)]
    figure = "four nodes, bytes over the outside line / one node's"
    writing = "writing slot B and reading it back / dd with fsync"
    return [
        measured(figure, [sum(bytes_) / bytes_[0]], "x", target=1.05),
        measured("one node's bytes over the outside line", [bytes_[0]], "bytes"),
        measured(writing, [a / b for a, b in zip(slot, plain, strict=True)], "x", target=1.3),
        measured("writing slot B and reading it back", slot, "s"),
    ]


def _published(old: Image, new: Image, work: Path) -> Publisher:
    publisher = Publisher(work / "builder")
    publisher.folder.mkdir()
    publisher.start()
    for image in (old, new):
        publisher.publish(str(image.version), image=image, deltas=1, minimum="0.0.1")
    return publisher


def _household(publisher: Publisher, base: Base, work: Path) -> list[int]:
    """What each node took from outside, one after the other."""
    near, found = Near(), []
    for number in range(NODES):
        line = Line(Folder(publisher.repository))
        folder = work / f"node-{number}"
        near.mirrors.append(_bring(publisher, folder, base, line, near))
        found.append(line.bytes)
    return found


def _bring(publisher: Publisher, folder: Path, base: Base, line: Line, near: Near) -> Path:
    source = Nearest(line, near)
    trusted = trusting(publisher, folder, source)
    trusted.refresh()
    release = trusted.catalog(CHANNEL, VARIANT).releases[0]
    area = Staging(folder, trusted, source, lambda *_: None)
    area.bring(release, base)
    return area.mirror


def _node(publisher: Publisher, old: Image, new: Image, work: Path) -> Node:
    """One with slots as large as these images need."""
    update_node.SLOT.update({"usr": f"{(new.usr_bytes >> 20) + 16}M", "usr-verity": "32M"})
    folder = work / "slots/node"
    return Node(folder, publisher.first_root, version=str(old.version)).make()


def _write(node: Node, new: Image) -> float:
    request = writer.Request("bench", "write", CHANNEL, new.version)
    for uki in node.esp.glob(f"goni_{new.version}_*"):
        uki.unlink()
    begun = time.monotonic()
    writer.write(node.writer_places(), request)
    return time.monotonic() - begun


def _dd(node: Node, work: Path) -> float:
    whole = work / "whole"
    with whole.open("wb") as sink:
        for path in sorted((node.state / "staged").iterdir()):
            sink.write(path.read_bytes())
    begun = time.monotonic()
    run(["dd", f"if={whole}", f"of={work / 'copy'}", "bs=1M", "conv=fsync"], timeout=600)
    return time.monotonic() - begun
