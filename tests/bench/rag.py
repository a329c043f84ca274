"""Document search: how right, how fast, how separate: ``python -m tests.bench.rag``.

Flow: own questions by words, by meaning and fused -> questions without an answer -> indexing beside
a bare loop -> the command killed while it indexes -> random searches while documents change hands
-> search at many passages beside numpy. Writes ``out/bench/rag.json`` and ``rag.svg`` and prints
the table. A target that is missed is said in the table and is no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goni_core import contract, files, paths, run
from goni_core.errors import GoniError, exit_with
from goni_rag import chunk, evaluate, index, library, private, retrieve
from goni_rag.connections import Connections
from goni_rag.embed import Embedder
from goni_rag.semantic import Semantic
from image.build import step
from tests import household_corpus, questions
from tests.bench import curves, leaks, rag_household, rows, scale
from tests.bench.rows import Row, at_percentile, measured

BENCH = "rag"
EXAMPLES = """examples:
  make bench-rag
  python -m tests.bench.rag --quick
"""
COMMAND = [sys.executable, "-m", "goni_rag"]
LATENCY, MEMORY = 150.0, 1.5e9
BEST = ("lexical", "semantic")


@dataclass(frozen=True)
class Plan:
    """How much is measured: passages to search, searches by several people, kills, documents."""

    sizes: Sequence[int]
    searches: int
    kills: int
    documents: int
    people: Sequence[str] = household_corpus.PEOPLE


WHOLE = Plan((10_000, 100_000, 1_000_000), searches=10_000, kills=50, documents=400)
QUICK = Plan((10_000, 100_000), searches=500, kills=3, documents=60, people=("anna",))


@dataclass(frozen=True)
class Scaled:
    """Search at one number of passages."""

    searched: scale.Searched
    scan: Sequence[float]
    recall: float


def measure(plan: Plan, folder: Path) -> tuple[list[Row], Mapping[int, Scaled]]:
    """Every row, in the order in which they are shown, and the curves."""
    found, centres = asyncio.run(_with_engine(plan, folder))
    with step("a household's documents, through the service"):
        found += rag_household.rows(people=plan.people)
    with step(f"goni-rag killed {plan.kills} times while it indexes"):
        found.append(killed(plan, folder))
    with step(f"{plan.searches} searches by several people"):
        leaked, shown = leaks.count(folder, plan.searches)
        found.append(measured("another's text in a result", [leaked], "results", target=0))
        found.append(measured("results that were looked at", [shown], "results"))
    curve = {}
    for size in plan.sizes:
        with step(f"search in {size:,} passages"):
            curve[size] = scaled(folder, centres, size)
            found += _scale_rows(size, curve[size], last=size == 1_000_000)
    return found, curve


async def _with_engine(plan: Plan, folder: Path) -> tuple[list[Row], NDArray[np.float32]]:
    async with private.engine() as engine:
        embedder = Embedder(engine)
        with step("own questions"):
            questions.write(folder / "own")
            found = await _quality(embedder, folder / "own")
        with step("questions with and without an answer"):
            found += await _abstention(embedder, folder)
        with step(f"indexing {plan.documents} documents beside a bare loop"):
            found.append(await _throughput(embedder, plan, folder))
        return found, await _centres(embedder)


async def _quality(embedder: Embedder, own: Path) -> list[Row]:
    asked = evaluate.queries(own / "queries.tsv")
    judged = evaluate.judgements(own / "qrels.trec")
    result = await evaluate.evaluate(own / "docs", asked, judged, embedder)
    scores = {method: result.measures[method]["ndcg@10"] for method in result.measures}
    ratio = scores["fused"] / max(scores[method] for method in BEST)
    each = [measured(f"nDCG@10, {name}", [score], "ndcg") for name, score in scores.items()]
    return [*each, measured("fused / best single method", [ratio], "x", target=1.05, floor=True)]


async def _abstention(embedder: Embedder, folder: Path) -> list[Row]:
    connections = Connections(folder / "own.db")
    near = Semantic()

    async def answered(query: str) -> bool:
        (vector,) = await embedder.embed([query])
        found = await connections.read(retrieve.search, near, "eval", query, vector, 5)
        return bool(found)

    try:
        await index.index(connections, embedder, folder / "own/docs", "eval")
        there = [await answered(one.text) for one in questions.questions()]
        absent = [not await answered(text) for text in questions.ABSENT]
    finally:
        connections.close()
    return [
        measured("answered, of what is there", [np.mean(there)], "x", target=0.95, floor=True),
        measured("abstained, of what isn't", [np.mean(absent)], "x", target=0.9, floor=True),
    ]


async def _throughput(embedder: Embedder, plan: Plan, folder: Path) -> Row:
    """Indexing against embedding the same passages one by one; taken in turns."""
    docs = folder / "many"
    _documents(docs, plan.documents)
    texts = [
        chunk.embedded_text(path.name, part.heading, part.text)
        for path in index.files(docs)
        for part in library.read(path).chunks
    ]
    (folder / "texts.json").write_text(json.dumps(texts))
    model = paths.models_dir() / contract.EMBEDDING_FILE
    argv = [sys.executable, "-m", "tests.bench.loop", model, folder / "texts.json"]
    ratios = []
    for turn in range(3):
        connections = Connections(folder / f"many{turn}.db")
        begun = time.perf_counter()
        await index.index(connections, embedder, docs, "bench")
        took = time.perf_counter() - begun
        connections.close()
        bare = float((await asyncio.to_thread(run.run, argv, timeout=3600)).stdout)
        ratios.append(bare / took)
    return measured("indexing / bare embedding loop", ratios, "x", target=0.85, floor=True)


def _documents(folder: Path, count: int) -> None:
    draw = random.Random(3)
    sentences = [topic.text for topic in questions.TOPICS]
    folder.mkdir()
    for number in range(count):
        lines = [
            draw.choice(sentences).format(who=f"Person {draw.randrange(999)}", code=number)
            for _ in range(draw.randrange(3, 20))
        ]
        (folder / f"letter {number}.txt").write_text("\n".join(lines))


async def _centres(embedder: Embedder) -> NDArray[np.float32]:
    """Embeddings of this repository's documentation."""
    parts = [
        part for path in sorted(paths.CHECKOUT.glob("*.md")) for part in library.read(path).chunks
    ]
    vectors = [
        await embedder.embed([part.text for part in parts[at : at + 16]])
        for at in range(0, len(parts), 16)
    ]
    return np.frombuffer(b"".join(one for some in vectors for one in some), "<f4").reshape(
        len(parts), -1
    )


def killed(plan: Plan, folder: Path) -> Row:
    """The command is killed while it indexes, files change in between; what is wrong at the end."""
    docs, path = folder / "killed", folder / "killed.db"
    _documents(docs, 40)
    draw = random.Random(11)
    argv = [*COMMAND, "index", str(docs), "--db", str(path), "--owner", "bench"]
    for number in range(plan.kills):
        (docs / f"letter {number % 40}.txt").write_text(f"Version {number} of this letter.")
        process = run.start(argv, output=folder / "killed.log")
        time.sleep(1.5 + 4 * draw.random())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    run.run(argv, timeout=600)
    return measured(
        "killed while indexing: wrong documents", [wrong(docs, path)], "results", target=0
    )


def wrong(docs: Path, path: Path) -> int:
    """Documents of ``docs`` that the index at ``path`` lacks, has twice or has as they were."""
    expected = {}
    for file in index.files(docs):
        expected[file.name] = [part.text for part in library.read(file).chunks]
    db = sqlite3.connect(path)
    found: dict[str, list[str]] = {}
    for name, text in db.execute(
        "SELECT d.name, c.text FROM documents d JOIN chunks c ON c.document = d.id ORDER BY c.id"
    ):
        found.setdefault(name, []).append(text)
    counts = [
        db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for table in ("lexical", "chunks WHERE twin IS NULL", "fine")
    ]
    db.close()
    names = expected.keys() | found.keys()
    return sum(expected.get(name) != found.get(name) for name in names) + len(set(counts)) - 1


def scaled(folder: Path, centres: NDArray[np.float32], size: int) -> Scaled:
    path = folder / f"scale-{size}.db"
    scale.build(path, centres, size)
    asked, lines = scale.questions(centres)
    searched = scale.search(path, asked, lines)
    path.unlink()
    scan, right = scale.exact(centres, size, asked)
    hits = [len(one & set(ids)) for one, ids in zip(right, searched.ids, strict=True)]
    return Scaled(searched, scan, sum(hits) / (len(hits) * scale.NEIGHBOURS))


def _scale_rows(size: int, found: Scaled, *, last: bool) -> list[Row]:
    """The figures at ``size`` passages; with targets at the ``last``, a million."""
    whole = [1000 * seconds for seconds in found.searched.whole]
    meaning = [1000 * seconds for seconds in found.searched.meaning]
    scan = [1000 * seconds for seconds in found.scan]
    ratio = rows.percentile(whole, 95) / rows.percentile(scan, 95)
    near, best = f"{size:,} passages", 1.0 if last else None
    return [
        at_percentile(f"{near}: search p95", whole, 95, "ms", target=LATENCY if last else None),
        at_percentile(f"{near}: by meaning p95", meaning, 95, "ms"),
        at_percentile(f"{near}: numpy scan p95", scan, 95, "ms"),
        measured(f"{near}: search / numpy scan", [ratio], "x", target=best),
        measured(f"{near}: recall@10", [found.recall], "x", target=0.97, floor=True),
        measured(
            f"{near}: memory", [found.searched.memory], "bytes", target=MEMORY if last else None
        ),
    ]


def picture(curve: Mapping[int, Scaled]) -> str:
    """Latency and memory against passages."""

    def line(name: str) -> dict[int, list[float]]:
        return {
            size: [1000 * one for one in getattr(found.searched, name)]
            for size, found in curve.items()
        }

    times = {
        "search": line("whole"),
        "by meaning": line("meaning"),
        "numpy scan": {size: [1000 * one for one in found.scan] for size, found in curve.items()},
    }
    memory = {"search": {size: [found.searched.memory / 1e6] for size, found in curve.items()}}
    panels = [
        curves.Panel("Latency", "ms", times, "passage"),
        curves.Panel("Memory", "MB", memory, "passage"),
    ]
    return curves.picture("Search against passages: median, and up to the 95th percentile", panels)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.rag",
        description="Measure document search.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="up to 100,000 passages")
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="goni-bench-") as folder:
            found, curve = measure(QUICK if given.quick else WHOLE, Path(folder))
        rows.write(BENCH, found)
        files.write(rows.FOLDER / f"{BENCH}.svg", picture(curve).encode(), mode=0o644)
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(rows.table([(BENCH, found)]))


if __name__ == "__main__":
    main()
