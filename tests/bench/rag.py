"""Document search: how right, how fast, how separate: ``python -m tests.bench.rag``.

Flow: own questions by words, by meaning and fused -> questions without an answer -> the household's
-> indexing beside a bare loop -> the command killed while it indexes -> very many files -> random
searches while documents change hands -> search at many passages beside numpy. Writes
``out/bench/rag.json``, ``rag.svg`` and ``rag-cores.svg`` and prints the table. A target that is
missed is said in the table and is no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from goni_core import files, paths, run
from goni_core.errors import GoniError, exit_with
from goni_rag import index, library, private, retrieve
from goni_rag.connections import Connections
from goni_rag.embed import Embedder
from goni_rag.semantic import Semantic
from image.build import step
from tests import household_corpus, questions
from tests.bench import crowd, leaks, rag_household, rag_kills, rag_pace, rows, scale
from tests.bench.rows import Row, measured

BENCH = "rag"
EXAMPLES = """examples:
  make bench-rag
  make bench-rag ONLY="scale leaks"
  python -m tests.bench.rag --quick
"""
BEST = ("lexical", "semantic")


@dataclass(frozen=True)
class Plan:
    """How much is measured: passages to search, searches by several people, kills, documents, small
    files, the people of the household.
    """

    sizes: Sequence[int]
    searches: int
    kills: int
    documents: int
    files: int
    people: Sequence[str] = household_corpus.PEOPLE


WHOLE = Plan(
    (10_000, 100_000, scale.MILLION), searches=10_000, kills=50, documents=400, files=50_000
)
QUICK = Plan((10_000, 100_000), searches=500, kills=3, documents=60, files=2_000, people=("anna",))


@dataclass
class Bench:
    """What is to be measured and where; the rows and pictures (file names and SVG) so far."""

    plan: Plan
    folder: Path
    rows: list[Row] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)


def quality(bench: Bench) -> None:
    """``goni-rag eval`` on our own questions."""
    own = bench.folder / "own"
    questions.write(own)
    given = [f"--{name}={own / file}" for name, file in EVALUATED.items()]
    said = run.run([*rag_kills.COMMAND, "eval", *given, "--json"], timeout=3600).stdout
    measures = json.loads(said)
    scores = {method: measures[method]["ndcg@10"] for method in (*BEST, "fused")}
    ratio = scores["fused"] / max(scores[method] for method in BEST)
    bench.rows += [measured(f"nDCG@10, {name}", [score], "ndcg") for name, score in scores.items()]
    bench.rows.append(measured("fused / best single method", [ratio], "x", target=1.05, floor=True))


EVALUATED = {"docs": "docs", "queries": "queries.tsv", "qrels": "qrels.trec"}


def silence(bench: Bench) -> None:
    """Questions with and without an answer."""
    bench.rows += asyncio.run(_abstention(bench.folder))


def household(bench: Bench) -> None:
    """A household's documents, through the service."""
    bench.rows += rag_household.rows(people=bench.plan.people)


def pace(bench: Bench) -> None:
    """Indexing beside a bare loop."""
    found = rag_pace.measure(bench.folder, bench.plan.documents)
    bench.rows += rag_pace.rows(found)
    bench.pictures["rag-cores.svg"] = rag_pace.picture(found)


def kills(bench: Bench) -> None:
    """goni-rag killed while it indexes."""
    bench.rows += rag_kills.rows(bench.folder, bench.plan.kills)


def many_files(bench: Bench) -> None:
    """Very many small files."""
    bench.rows += crowd.rows(bench.folder, bench.plan.files)


def separation(bench: Bench) -> None:
    """Random searches while documents change hands."""
    leaked, shown = leaks.count(bench.folder, bench.plan.searches)
    figure = f"another's text in a result, {bench.plan.searches:,} searches"
    bench.rows += [
        measured(figure, [leaked], "results", target=0),
        measured("results that were looked at", [shown], "results"),
    ]


def speed(bench: Bench) -> None:
    """Search at many passages."""
    centres = asyncio.run(_centres())
    curve = {}
    for size in bench.plan.sizes:
        with step(f"search in {size:,} passages"):
            curve[size] = scale.measure(bench.folder, centres, size)
            bench.rows += scale.rows(size, curve[size])
    bench.pictures["rag.svg"] = scale.picture(curve)


PARTS: dict[str, Callable[[Bench], None]] = {
    "quality": quality,
    "silence": silence,
    "household": household,
    "pace": pace,
    "kills": kills,
    "files": many_files,
    "leaks": separation,
    "scale": speed,
}


async def _abstention(folder: Path) -> list[Row]:
    questions.write(folder / "silent")
    connections = Connections(folder / "silent.db")
    near = Semantic()
    async with private.engine() as engine:
        embedder = Embedder(engine)

        async def answered(query: str) -> bool:
            (vector,) = await embedder.embed([query])
            found = await connections.read(retrieve.search, near, "eval", query, vector, 5)
            return bool(found)

        try:
            await index.index(connections, embedder, folder / "silent/docs", "eval")
            there = [await answered(one.text) for one in questions.questions()]
            absent = [not await answered(text) for text in questions.ABSENT]
        finally:
            connections.close()
    return [
        measured("answered, of what is there", [np.mean(there)], "x", target=0.95, floor=True),
        measured("abstained, of what isn't", [np.mean(absent)], "x", target=0.9, floor=True),
    ]


async def _centres() -> scale.Vectors:
    """Embeddings of this repository's documentation."""
    parts = [
        part for path in sorted(paths.CHECKOUT.glob("*.md")) for part in library.read(path).chunks
    ]
    async with private.engine() as engine:
        found = await Embedder(engine).embed([part.text for part in parts])
    return np.frombuffer(b"".join(found), "<f4").reshape(len(parts), -1)


def measure(plan: Plan, folder: Path, only: Sequence[str] = tuple(PARTS)) -> Bench:
    """The parts called ``only``, in their order."""
    bench = Bench(plan, folder)
    for name, part in PARTS.items():
        if name in only:
            with step(f"{name}: {part.__doc__}"):
                part(bench)
    return bench


def keep(bench: Bench, only: Sequence[str], folder: Path = rows.FOLDER) -> list[Row]:
    """Write the result; after some parts only, beside what the others found last. All rows."""
    path = folder / f"{BENCH}.json"
    found = bench.rows
    if set(only) != set(PARTS) and path.exists():
        new = {row.figure for row in found}
        found = [*(row for row in rows.read(path)[1] if row.figure not in new), *found]
    rows.write(BENCH, found, folder=folder)
    for name, picture in bench.pictures.items():
        files.write(folder / name, picture.encode(), mode=0o644)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.rag",
        description="Measure document search.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="up to 100,000 passages")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=tuple(PARTS),
        metavar="PART",
        help=f"some of {', '.join(PARTS)}; the others keep their last figures",
    )
    given = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory(prefix="goni-bench-") as folder:
            bench = measure(QUICK if given.quick else WHOLE, Path(folder), given.only)
        found = keep(bench, given.only)
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(rows.table([(BENCH, found)]))
    if load > 1:
        print(f"others were using the machine (load {load:.1f}): ratios tell, times don't")


if __name__ == "__main__":
    main()
