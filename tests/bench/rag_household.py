"""Search over the household corpus, through the service and the real engine, as the page would:
``python -m tests.bench.rag_household`` prints the rows that ``rows()`` returns.

Flow: corpus -> uploads as each person -> every question as who asks it -> is the right file and
page among the first five; is nothing said where nothing is to be said.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rows import Row, table
from tests.household_corpus import PEOPLE, SHARED, Corpus, Question, corpus
from tests.integration import engine_node, rag_node

BENCH = "rag-household"
K = 5
RECALL, ABSTAINS, ANSWERS = 0.95, 0.9, 0.95


@dataclass(frozen=True)
class Asked:
    """A question and what came of it: sources as the service gave them, best first, and whether it
    said that they answer.
    """

    question: Question
    sources: Sequence[dict]
    answered: bool

    @property
    def found(self) -> bool:
        """Whether one of them is the right file and page."""
        wanted = (self.question.file, self.question.page)
        return any(
            (Path(source["document"]).name, source["page"]) == wanted for source in self.sources
        )

    @property
    def quoted(self) -> bool:
        """Whether one of them holds the very words (recognized ones may differ)."""
        span = "".join(self.question.span.split())
        return any(span in "".join(source["text"].split()) for source in self.sources)


def rows(seed: int = 1, people: Sequence[str] = PEOPLE) -> list[Row]:
    """Every row, of all ``people`` or, for a quick look, of some; takes minutes."""
    household = _of(corpus(seed), people)
    with tempfile.TemporaryDirectory(prefix="goni-bench-") as folder:
        node = engine_node.Node(Path(folder))
        node.start()
        try:
            with rag_node.running(Path(folder)) as rag:
                seconds, unreadable = _filled(rag, household)
                asked = [_asked(rag, question) for question in household.questions]
        finally:
            node.stop()
    for miss in misses(asked):
        print(f"bench: missed {miss.question.file}: {miss.question.text}", file=sys.stderr)
    return [*judged(asked), _unreadable(household, unreadable), _pace(household, seconds)]


def _asked(rag: rag_node.Rag, question: Question) -> Asked:
    said = rag.ask(question.owner, question.text, K)
    return Asked(question, said["sources"], said["found"])


def _of(household: Corpus, people: Sequence[str]) -> Corpus:
    """The part of it that ``people`` see."""
    files = (file for file in household.files if file.owner in (SHARED, *people))
    questions = (question for question in household.questions if question.owner in people)
    return Corpus(tuple(files), tuple(questions))


def judged(asked: Sequence[Asked]) -> list[Row]:
    """The rows of what was asked; pure."""
    planted = [one for one in asked if one.question.kind == "planted"]
    empty = [one for one in asked if one.question.kind != "planted"]
    found = _share("household: right file and page among the first 5", planted, "found", RECALL)
    answers = [one for one in planted if one.answered]
    said = [one for one in empty if not one.answered]
    shares = [
        found,
        _share("household: the very words among the first 5", planted, "quoted"),
        _row("household: answers what is there", len(answers), len(planted), ANSWERS),
        _row("household: abstains where the answer isn't there", len(said), len(empty), ABSTAINS),
    ]
    for kind, words in KINDS.items():
        some = [one for one in empty if one.question.kind == kind]
        silent = [one for one in some if not one.answered]
        shares.append(_row(f"household: abstains, {words}", len(silent), len(some)))
    return shares


KINDS = {
    "absent": "of things that no household has",
    "others": "of what only another person's documents say",
    "detail": "of details of a thing that is there",
}


def misses(asked: Sequence[Asked]) -> list[Asked]:
    """The planted ones that weren't found."""
    return [one for one in asked if one.question.kind == "planted" and not one.found]


def _filled(rag: rag_node.Rag, household: Corpus) -> tuple[float, int]:
    begun = time.monotonic()
    unreadable = 0
    for number, file in enumerate(household.files):
        document = rag.put(file.owner, file.name, file.data)
        unreadable += document["state"] != "indexed"
        if number % 50 == 0:
            print(f"bench: {number} of {len(household.files)} documents", file=sys.stderr)
    return time.monotonic() - begun, unreadable


def _share(figure: str, asked: Sequence[Asked], what: str, target: float | None = None) -> Row:
    return _row(figure, sum(getattr(one, what) for one in asked), len(asked), target)


def _row(figure: str, good: int, of: int, target: float | None = None) -> Row:
    value = round(good / max(1, of), 4)
    return Row(figure, value, "x", target, of, value, value, floor=True)


def _unreadable(household: Corpus, count: int) -> Row:
    return Row("household: unreadable documents", count, "documents", 0, len(household.files))


def _pace(household: Corpus, seconds: float) -> Row:
    per_second = round(len(household.files) / seconds, 2)
    return Row("household: documents taken in", per_second, "documents/s", None)


def main() -> None:
    print(table([(BENCH, rows())]))


if __name__ == "__main__":
    main()
