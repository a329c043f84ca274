"""goni_rag.signs: read as sqlite-vec keeps them, and compared as simply as can be."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from goni_rag import database, embed, signs
from goni_rag.signs import BITS, BLOCK, Signs


def drawn(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, BITS // 8), dtype=np.uint8)


def asked() -> np.ndarray:
    return np.random.default_rng(2).standard_normal(BITS, dtype=np.float32)


def test_signs_are_read_as_the_table_has_them(tmp_path: Path) -> None:
    rows = drawn(5000)
    with closing(database.open_writer(tmp_path / "index.db")) as db:
        with database.transaction(db):
            db.executemany(
                "INSERT INTO vectors VALUES (?, ?, vec_bit(?))",
                (
                    (at + 1, "ann" if at % 3 else "bob", row.tobytes())
                    for at, row in enumerate(rows)
                ),
            )
            db.execute("DELETE FROM vectors WHERE chunk % 7 = 0")
            db.execute("INSERT INTO vectors VALUES (9999, 'ann', vec_bit(?))", (bytes(48),))
        for owner in ("ann", "bob", "eve"):
            kept = signs.read(db, owner, 3).snapshot()
            told = dict(
                db.execute("SELECT chunk, embedding FROM vectors WHERE owner = ?", (owner,))
            )
            assert dict(zip(kept.ids.tolist(), _rows(kept), strict=True)) == told
            assert len(kept.ids) == len(told)


def _rows(kept: signs.Snapshot) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(kept.lanes.T)]


@pytest.mark.parametrize("count", [700, BLOCK + 1, signs.ALONE + BLOCK // 2])
def test_the_nearest_agree_best_of_those_that_differ_least(count: int) -> None:
    rows, vector = drawn(count), asked()
    kept = Signs()
    kept.add(np.arange(count) * 2, rows)
    differ = np.unpackbits(rows ^ embed.signs(vector), axis=1).sum(axis=1)
    alike = np.flatnonzero(differ <= np.sort(differ)[500 - 1])
    agreement = np.unpackbits(rows[alike], axis=1) @ vector
    right = alike[np.argsort(-agreement)[:50]] * 2
    assert kept.snapshot().nearest(vector, 500, 50).tolist() == sorted(right.tolist())
    assert len(kept.snapshot().nearest(vector, count, count)) == count
    assert len(kept.snapshot().nearest(vector, 10, 500)) >= 10
    left = kept.snapshot().among(right[::2])
    assert left.nearest(vector, 500, 50).tolist() == sorted(right[::2].tolist())


def test_a_scan_does_not_see_what_is_added_meanwhile() -> None:
    kept, rows = Signs(), drawn(3000)
    kept.add(np.arange(1000), rows[:1000])
    before = kept.snapshot()
    adding = threading.Thread(target=lambda: kept.add(np.arange(1000, 3000), rows[1000:]))
    adding.start()
    found = before.nearest(asked(), 200, 100)
    adding.join()
    assert found.max() < 1000
    assert len(kept.snapshot().ids) == 3000
    assert _rows(kept.snapshot())[:1000] == _rows(before)
