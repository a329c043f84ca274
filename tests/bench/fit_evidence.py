"""The numbers of ``goni_rag.calibration``, fitted: ``python -m tests.bench.fit_evidence`` prints
that module, and on standard error how well it does on what it wasn't fitted to.

    households of tests.household_training -> index -> each question's features -> logistic
    regression -> the threshold at which 97 of 100 answers count as found

Every figure is of questions that had no part in the numbers. Of the training households: each
template of questions is judged by numbers that were fitted without it. Of the measuring ones
(tests.household_facts, which rag_household asks about too): all of them, since nothing of theirs is
trained on. Passages get the mean of their sentences' vectors, which saves nine tenths of the work:
only sentences are judged. Vectors are kept in out/bench between runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goni_rag import database, evidence, private, retrieve, store
from goni_rag.chunk import Chunk
from goni_rag.embed import Embedder
from goni_rag.semantic import Semantic
from tests.bench.rows import FOLDER
from tests.household_corpus import Corpus, File, Question, corpus
from tests.household_facts import HOUSEHOLD, Facts
from tests.household_training import OTHERS

TRAINING, MEASURING = (101, 102), (1, 2)
"""Seeds."""
K = 5
ANSWERED = 0.97
"""Of the questions that have an answer, so many are to count as found where they are fitted: a
little more than the target, since new ones do worse."""
PENALTY = 1.0
FOLDS = 8
BATCH = 64

HEAD = '''"""The numbers of ``evidence``, as tests.bench.fit_evidence prints them."""

from __future__ import annotations

'''

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A question with its features; ``group`` is the template that it is from."""

    question: Question
    group: str
    features: Mapping[str, float]

    @property
    def answerable(self) -> bool:
        return self.question.kind == "planted"


class Vectors:
    """Every text's vector, asked for once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, bytes] = {}
        if path.exists():
            with np.load(path) as saved:
                rows = [row.tobytes() for row in saved["vectors"]]
                self._kept = dict(zip(saved["texts"].tolist(), rows, strict=True))

    async def learn(self, texts: Iterable[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if not new:
            return
        async with private.engine() as engine:
            embedder = Embedder(engine)
            for start in range(0, len(new), BATCH):
                some = new[start : start + BATCH]
                self._kept |= zip(some, await embedder.embed(some), strict=True)
                print(f"fit: {start + len(some)} of {len(new)} texts", file=sys.stderr)
                self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = np.stack([np.frombuffer(row, "<f4") for row in self._kept.values()])
        np.savez(self._path, texts=np.array(list(self._kept)), vectors=rows)

    def of(self, text: str) -> NDArray[np.float32]:
        return np.frombuffer(self._kept[text], "<f4")

    def mean(self, texts: Sequence[str]) -> bytes:
        whole = sum((self.of(text) for text in texts), np.zeros(1, "<f4"))
        return (whole / np.linalg.norm(whole)).astype("<f4").tobytes()


def pages(file: File) -> list[str]:
    return file.data.decode("utf-16").strip().split("\n\n")


async def cases(seed: int, facts: Facts, vectors: Vectors) -> list[Case]:
    """Every question of the household of ``seed``."""
    household = corpus(seed, facts, ("txt",))
    texts = [page for file in household.files for page in pages(file)]
    await vectors.learn(
        [*(one.text for one in household.questions)]
        + [sentence for text in texts for sentence in evidence.sentences(text)]
    )
    with tempfile.TemporaryDirectory() as folder:
        db = database.open_writer(Path(folder) / "index.db")
        _fill(db, household, vectors)
        near = Semantic()
        gathered = []
        with database.transaction(db):
            for question in household.questions:
                vector = vectors.of(question.text).tobytes()
                hits = retrieve.look(db, near, question.owner, question.text, vector, K)
                gathered.append(evidence.gather(question.text, hits.asked, hits.sources))
        db.close()
    await vectors.learn(text for one in gathered for text in one.texts)
    await vectors.learn(
        evidence.rest_of(one, _best(one, vectors)) for one in gathered if one.sentences
    )
    templates = _templates(facts)
    return [
        Case(question, templates.get(question.text, question.text), _features(one, vectors))
        for question, one in zip(household.questions, gathered, strict=True)
    ]


def _fill(db: database.sqlite3.Connection, household: Corpus, vectors: Vectors) -> None:
    for file in household.files:
        entry = store.Entry(file.owner, file.name, 1, "sha", "", 0, "indexed")
        passages = [Chunk(page, number, "", 0, 0) for number, page in enumerate(pages(file), 1)]
        means = [vectors.mean(list(evidence.sentences(page.text))) for page in passages]
        with database.transaction(db):
            store.put(db, entry, passages, means)


def _rows(gathered: evidence.Gathered, vectors: Vectors) -> NDArray[np.float32]:
    return np.stack([vectors.of(text) for text in gathered.texts])


def _best(gathered: evidence.Gathered, vectors: Vectors) -> int:
    return evidence.best(gathered, vectors.of(gathered.query), _rows(gathered, vectors))


def _features(gathered: evidence.Gathered, vectors: Vectors) -> dict[str, float]:
    """Empty when nothing was found, which needs no judgement."""
    if not gathered.sentences:
        return {}
    place = _best(gathered, vectors)
    rest = vectors.of(evidence.rest_of(gathered, place))
    asked = vectors.of(gathered.query)
    return evidence.features(gathered, place, asked, _rows(gathered, vectors), rest)


def _templates(facts: Facts) -> dict[str, str]:
    """Question -> the template that it is from; those with a value in them differ each time."""
    return {
        kind.question.format(s=subject, v=""): kind.question
        for kind in facts.knowledge
        for subject in kind.subjects
    }


def matrix(some: Sequence[Case], names: Sequence[str]) -> Matrix:
    return np.array([[one.features[name] for name in names] for one in some], float)


def fit(given: Matrix, answers: NDArray[np.bool_]) -> tuple[Matrix, float]:
    """Weights and bias of a logistic regression with an L2 penalty on standardized features, both
    classes counting the same; Newton's method.
    """
    middle, spread = given.mean(0), given.std(0) + 1e-9
    rows = np.hstack([(given - middle) / spread, np.ones((len(given), 1))])
    share = answers.mean()
    balance = np.where(answers, 0.5 / share, 0.5 / (1 - share))
    weights = np.zeros(rows.shape[1])
    penalty = np.full(rows.shape[1], PENALTY)
    penalty[-1] = 0.0
    for _ in range(30):
        likely = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (balance * (likely - answers)) + penalty * weights
        curve = (rows * (balance * likely * (1 - likely))[:, None]).T @ rows
        weights -= np.linalg.solve(curve + np.diag(penalty), slope)
    plain = weights[:-1] / spread
    return plain, float(weights[-1] - plain @ middle)


def left_out(some: Sequence[Case], names: Sequence[str]) -> NDArray[np.float64]:
    """The log odds of each of ``some`` by numbers that its template had no part in."""
    groups = sorted({one.group for one in some})
    order = np.random.default_rng(0).permutation(len(groups))
    fold = {groups[place]: number % FOLDS for number, place in enumerate(order)}
    folds = np.array([fold[one.group] for one in some])
    given, answers = matrix(some, names), np.array([one.answerable for one in some])
    odds = np.zeros(len(some))
    for number in range(FOLDS):
        out = folds == number
        weights, bias = fit(given[~out], answers[~out])
        odds[out] = given[out] @ weights + bias
    return odds


def shares(some: Sequence[Case], odds: NDArray[np.float64], threshold: float) -> str:
    """How many count as found, by kind of question."""
    said = odds >= threshold
    answers = np.array([one.answerable for one in some])
    parts = [f"answers {said[answers].mean():.3f}", f"abstains {(~said[~answers]).mean():.3f}"]
    for kind in ("absent", "others", "detail"):
        of = np.array([one.question.kind == kind for one in some])
        parts.append(f"{kind} {(~said[of]).mean():.3f}")
    return ", ".join(parts)


def threshold(some: Sequence[Case], odds: NDArray[np.float64], answered: float) -> float:
    """The odds that so many of the answerable questions reach."""
    return float(np.quantile(odds[[one.answerable for one in some]], 1 - answered))


async def _all(
    seeds: Sequence[int], facts: Facts, vectors: Vectors
) -> tuple[list[Case], list[Case]]:
    """The questions that something was found for, and the others."""
    found = [one for seed in seeds for one in await cases(seed, facts, vectors)]
    return [one for one in found if one.features], [one for one in found if not one.features]


async def run(
    path: Path, names: Sequence[str], trained: Sequence[int], measured: Sequence[int]
) -> str:
    """The module's text; the figures go to standard error."""
    vectors = Vectors(path)
    training, unlike = await _all(trained, OTHERS, vectors)
    measuring, nothing = await _all(measured, HOUSEHOLD, vectors)
    names = list(names or training[0].features)
    odds = left_out(training, names)
    limit = threshold(training, odds, ANSWERED)
    answers = np.array([one.answerable for one in training])
    weights, bias = fit(matrix(training, names), answers)
    others = matrix(measuring, names) @ weights + bias
    for words, some, scored, empty in (
        ("training, template left out", training, odds, unlike),
        ("households of other facts", measuring, others, nothing),
    ):
        every = [*some, *empty]
        known = np.concatenate([scored, np.full(len(empty), -np.inf)])
        print(f"fit: {words}: {shares(every, known, limit)}", file=sys.stderr)
        for answered in (0.99, 0.98, 0.97, 0.95, 0.9, 0.8):
            at = threshold(every, known, answered)
            print(f"fit:   curve: {shares(every, known, at)}", file=sys.stderr)
    told = "".join(
        f'    "{name}": {weight:.4f},\n' for name, weight in zip(names, weights, strict=True)
    )
    likely = 1 / (1 + np.exp(-limit))
    return f"{HEAD}WEIGHTS = {{\n{told}}}\nBIAS = {bias:.4f}\nTHRESHOLD = {likely:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.fit_evidence")
    parser.add_argument("names", nargs="*", help="features to use (all)")
    parser.add_argument("--quick", action="store_true", help="one household of each kind")
    asked = parser.parse_args()
    seeds = (TRAINING[:1], MEASURING[:1]) if asked.quick else (TRAINING, MEASURING)
    print(asyncio.run(run(FOLDER / "evidence.npz", asked.names, *seeds)))


if __name__ == "__main__":
    main()
