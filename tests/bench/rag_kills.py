"""The command goni-rag killed again and again while it indexes files that change: what is lost,
doubled or stale at the end.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from goni_core import run
from goni_rag import index, library
from tests import questions
from tests.bench.rows import Row, measured

COMMAND = [sys.executable, "-m", "goni_rag"]
DOCUMENTS = 40


def rows(folder: Path, kills: int) -> list[Row]:
    """Kill the command ``kills`` times, then let it end."""
    docs, path = folder / "killed", folder / "killed.db"
    write(docs, DOCUMENTS)
    draw = random.Random(11)
    argv = [*COMMAND, "index", str(docs), "--db", str(path), "--owner", "bench"]
    for number in range(kills):
        (docs / f"letter {number % DOCUMENTS}.txt").write_text(f"Version {number} of this letter.")
        process = run.start(argv, output=folder / "killed.log")
        time.sleep(1.5 + 4 * draw.random())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    run.run(argv, timeout=600)
    figure = f"killed {kills} times while indexing: lost, doubled or stale documents"
    return [measured(figure, [wrong(docs, path)], "results", target=0)]


def write(folder: Path, count: int) -> None:
    """``count`` letters of a few to twenty sentences."""
    draw = random.Random(3)
    sentences = [topic.text for topic in questions.TOPICS]
    folder.mkdir()
    for number in range(count):
        lines = [
            draw.choice(sentences).format(who=f"Person {draw.randrange(999)}", code=number)
            for _ in range(draw.randrange(3, 20))
        ]
        (folder / f"letter {number}.txt").write_text("\n".join(lines))


def wrong(docs: Path, path: Path) -> int:
    """Documents of ``docs`` that the index at ``path`` lacks, has twice or has as they were; one
    more for each table that has other passages than the rest.
    """
    expected = {}
    for file in index.files(docs):
        expected[file.name] = [part.text for part in library.read(file).chunks]
    found: dict[str, list[str]] = {}
    with closing(sqlite3.connect(path)) as db:
        for name, text in db.execute(
            "SELECT d.name, c.text FROM documents d JOIN chunks c ON c.document = d.id"
            " ORDER BY c.id"
        ):
            found.setdefault(name, []).append(text)
        counts = [
            db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("lexical", "chunks WHERE twin IS NULL", "fine")
        ]
    names = expected.keys() | found.keys()
    return sum(expected.get(name) != found.get(name) for name in names) + len(set(counts)) - 1
