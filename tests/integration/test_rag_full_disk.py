"""goni-rag on a disk that is really full: a small file system of its own, in a namespace of the
service's own, filled up behind its back.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rag_node import Rag, WordEngine, eventually, running

SIZE = 32 << 20
MOUNTED = 'mount -t tmpfs -o size=$1 goni "$2" && shift 2 && exec "$@"'


@pytest.fixture
def rag(tmp_path: Path) -> Iterator[Rag]:
    (tmp_path / "run").mkdir()
    state = tmp_path / "state"
    state.mkdir()
    engine = WordEngine(tmp_path / "run")
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    within = ["unshare", *own, "--mount", "sh", "-c", MOUNTED, "sh"]
    with running(tmp_path, [*within, str(SIZE), str(state)]) as rag:
        # The service's own view of its state, which nobody else has.
        rag.folders = Path(f"/proc/{rag.process.pid}/root{rag.folders}")
        yield rag
    engine.stop()


def found(rag: Rag, query: str) -> list[str]:
    return [source["document"] for source in rag.search("ann", query)]


def trouble(rag: Rag) -> str:
    said = rag.http.get("/progress", params={"owner": "ann"})
    assert said.status_code == 200
    return said.json()["trouble"]


def fill(path: Path) -> None:
    """Take every byte that is left."""
    with path.open("wb", buffering=0) as sink:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while sink.write(bytes(size)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


def test_a_full_disk_is_said_harms_nothing_and_is_waited_out(rag: Rag) -> None:
    folder = rag.folders / "ann"
    folder.mkdir()
    (folder / "a.txt").write_text("The stork is back.")
    eventually(lambda: found(rag, "stork") == ["a.txt"])

    text = "\n\n".join(f"Paragraph {n} of the heron number {n}." for n in range(600))
    (folder / "b.txt").write_text(text)
    fill(rag.folders / "filler")
    eventually(lambda: "disk is full" in trouble(rag))
    assert found(rag, "stork") == ["a.txt"]
    refused = rag.raw_put("ann", "c.txt", b"The crane is here.")
    assert refused.status_code == 507
    assert refused.json()["error"]["code"] == "disk_full"
    assert not (folder / "c.txt").exists()
    assert rag.http.get("/health").status_code == 200

    (rag.folders / "filler").unlink()
    eventually(lambda: rag.documents("ann").get("b.txt", {}).get("state") == "indexed")
    eventually(lambda: trouble(rag) == "")
    assert found(rag, "stork") == ["a.txt"]
    assert found(rag, "heron")[0] == "b.txt"
    (folder / "a.txt").unlink()
    eventually(lambda: found(rag, "stork") == [])
