"""``goni-rag eval``: index a collection, ask its questions, and measure the answers by words alone,
by meaning alone and fused, with what search itself uses.

One file is one document and its stem the id; queries are lines ``id<TAB>text``; judgements are
trec_eval's qrels, ``query iteration document grade``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from goni_core.errors import BadInput
from goni_rag import chunk, index, metrics, retrieve, store
from goni_rag.connections import Connections
from goni_rag.embed import Embedder
from goni_rag.index import BATCH
from goni_rag.metrics import Judgements
from goni_rag.progress import Progress
from goni_rag.retrieve import METHODS, Candidates
from goni_rag.semantic import Semantic

OWNER = "eval"
DEPTH = 400
"""Passages of each method: enough for a hundred documents of several passages."""
MOST_LINES = 10_000_000

Queries = Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """Measures by method, and how much was indexed and asked."""

    measures: Mapping[str, Mapping[str, float]]
    documents: int
    passages: int
    queries: int


def queries(path: Path) -> dict[str, str]:
    """The queries in the file at ``path``; :class:`BadInput` names the bad line."""
    found: dict[str, str] = {}
    for number, line in _lines(path):
        name, tab, text = line.partition("\t")
        if not (tab and name.strip() and text.strip()):
            raise BadInput(f"{path}, line {number}: not an id, a tab and a question")
        if name.strip() in found:
            raise BadInput(f"{path}, line {number}: the id {name.strip()!r} was there before")
        found[name.strip()] = text.strip()
    if not found:
        raise BadInput(f"{path} has no questions")
    return found


def judgements(path: Path) -> dict[str, dict[str, int]]:
    """The qrels in the file at ``path``; :class:`BadInput` names the bad line."""
    found: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        parts = line.split()
        try:
            query, _iteration, document, grade = parts
            found.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise BadInput(
                f"{path}, line {number}: not a query, an iteration, a document and a whole number"
            ) from None
    if not any(grade > 0 for grades in found.values() for grade in grades.values()):
        raise BadInput(f"{path} judges nothing relevant")
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of ``path`` that aren't blank, numbered from 1."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as source:
            for number, line in enumerate(source, start=1):
                if number > MOST_LINES:
                    raise BadInput(f"{path} has more than {MOST_LINES:,} lines")
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadInput(f"{path}, line {number + 1}: not UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error


async def evaluate(docs: Path, asked: Queries, judged: Judgements, embedder: Embedder) -> Result:
    """Index ``docs`` for the time of the call and measure; queries without a judgement are not
    asked.
    """
    asked = {name: text for name, text in asked.items() if name in judged}
    if not asked:
        raise BadInput("no question has a judgement", hint="are the ids in both files the same?")
    with tempfile.TemporaryDirectory(prefix="goni-eval-") as folder:
        connections = Connections(Path(folder) / "index.db")
        try:
            await index.index(connections, embedder, docs, OWNER, at_once=True)
            totals = await connections.read(store.totals)
            runs = await _ask(connections, embedder, asked)
        finally:
            connections.close()
    measures = {name: metrics.measured(run, judged) for name, run in runs.items()}
    return Result(measures, totals.documents, totals.chunks, len(asked))


async def _ask(
    connections: Connections, embedder: Embedder, asked: Queries
) -> dict[str, dict[str, dict[str, float]]]:
    """Method -> query -> document -> score."""
    runs: dict[str, dict[str, dict[str, float]]] = {method: {} for method in METHODS}
    near = Semantic()
    said = Progress("questions", len(asked))
    names = list(asked)
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        texts = [chunk.clipped(asked[name], chunk.ROOM) for name in some]
        for name, vector in zip(some, await embedder.embed(texts), strict=True):
            found = await connections.read(
                retrieve.candidates, near, (OWNER,), asked[name], vector, DEPTH
            )
            documents = await connections.read(
                store.names_of, [one.chunk for one in found.passages]
            )
            for method in METHODS:
                runs[method][name] = _by_document(found, documents, method)
            said.step()
    said.end()
    return runs


def _by_document(found: Candidates, documents: Mapping[int, str], method: str) -> dict[str, float]:
    """Each document's score: its best passage's."""
    best: dict[str, float] = {}
    for passage, score in METHODS[method](found):
        name = PurePosixPath(documents[passage]).stem
        best[name] = max(score, best.get(name, -math.inf))
    return best
