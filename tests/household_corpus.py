"""A household's documents: ``python -m tests.household_corpus FOLDER [--seed N]``.

More than three hundred files in every format that Goni reads, of three people and of all together,
each with planted facts among other sentences; some in an older version too. Beside them
``truth.json``: questions, each with who asks, the file and page that answers and the words that do,
or that nothing does. The same seed gives the same words, places and names.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import papers
from tests.household_facts import HOUSEHOLD, Facts, Knowledge
from tests.papers import Heading

PEOPLE = ("anna", "ben", "clara")
SHARED = "shared"
EACH = 88
"""Facts of each person's own."""
TOGETHER = 40
"""Facts in the shared folder."""
SCANS = 6
"""Documents of each kind that has to be recognized: it takes seconds."""
LINE = 88
PAGED = ("pdf", "pptx", "odp", "scan.pdf")
"""Formats that have pages."""


@dataclass(frozen=True)
class File:
    """A document: whose, what it is called, what is in it."""

    owner: str
    name: str
    data: bytes


@dataclass(frozen=True)
class Question:
    """A question of ``owner``. ``kind``: ``planted`` (then ``file`` in ``folder`` answers on
    ``page``, 0 where there are none, with ``span``), ``absent`` (nothing does), ``others`` (only
    another person's document does), ``detail`` (the subject is there, what is asked for is not).
    """

    text: str
    owner: str
    kind: str
    folder: str = ""
    file: str = ""
    page: int = 0
    span: str = ""


@dataclass(frozen=True)
class Corpus:
    """All files and all questions about them."""

    files: tuple[File, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Fact:
    """One thing to know about one subject."""

    of: Knowledge
    subject: str
    value: str
    since: int = 2025

    @property
    def sentence(self) -> str:
        return self.of.sentence.format(s=self.subject, v=self.value, since=self.since)

    @property
    def question(self) -> str:
        return self.of.question.format(s=self.subject, v=self.value)


def corpus(seed: int = 1, facts: Facts = HOUSEHOLD, endings: Sequence[str] = ()) -> Corpus:
    """The household of ``seed`` that knows ``facts``, in the formats of ``endings`` or in all."""
    chance = random.Random(seed)
    known = [(kind, subject) for kind in facts.knowledge for subject in kind.subjects]
    chance.shuffle(known)
    formats = itertools.cycle(sorted(endings or WRITERS))
    files: list[File] = []
    questions: list[Question] = []
    scans: dict[str, int] = {}

    def plant(owner: str, kind: Knowledge, subject: str) -> None:
        fact = Fact(kind, subject, kind.value(chance))
        ending = next(formats)
        while ending in RECOGNIZED and scans.get(ending, 0) == SCANS:
            ending = next(formats)
        scans[ending] = scans.get(ending, 0) + 1
        name = f"{_title(fact, chance)} {len(files):03}"
        if kind.changes:
            old = dataclasses.replace(fact, value=kind.value(chance), since=2019)
            files.append(_file(owner, f"{name} 2019", "txt", old, facts.filler, chance)[0])
            name += " 2025"
        file, page = _file(owner, name, ending, fact, facts.filler, chance)
        files.append(file)
        asking = owner if owner != SHARED else chance.choice(PEOPLE)
        words = fact.sentence
        questions.append(Question(fact.question, asking, "planted", owner, file.name, page, words))

    for kind, subject in known[:TOGETHER]:
        plant(SHARED, kind, subject)
    own = {person: _drawn(known[TOGETHER:], chance) for person in PEOPLE}
    for person, mine in own.items():
        for kind, subject in mine:
            plant(person, kind, subject)
    questions += _unanswerable(own, known[:TOGETHER], facts.not_there, chance)
    return Corpus(tuple(files), tuple(questions))


def _drawn(
    known: Sequence[tuple[Knowledge, str]], chance: random.Random
) -> list[tuple[Knowledge, str]]:
    return chance.sample(known, EACH)


def _unanswerable(
    own: dict[str, list[tuple[Knowledge, str]]],
    shared: list[tuple[Knowledge, str]],
    not_there: Sequence[str],
    chance: random.Random,
) -> Iterator[Question]:
    for person, text in itertools.product(PEOPLE, not_there):
        yield Question(text, person, "absent")
    for person in PEOPLE:
        mine = {subject for _, subject in (*own[person], *shared)}
        both = {(id(kind), subject) for kind, subject in (*own[person], *shared)}
        theirs = [fact for other in PEOPLE if other != person for fact in own[other]]
        for kind, subject in theirs:
            text = Fact(kind, subject, kind.value(chance)).question
            if subject not in mine:
                yield Question(text, person, "others")
            elif (id(kind), subject) not in both and chance.random() < 0.3:
                yield Question(text, person, "detail")


def _title(fact: Fact, chance: random.Random) -> str:
    """What people call a file: sometimes by what is in it."""
    return chance.choice([fact.subject, fact.subject, "notes", "document", "scan", "letter"])


def _file(
    owner: str, name: str, ending: str, fact: Fact, filler: Sequence[str], chance: random.Random
) -> tuple[File, int]:
    """A document with ``fact`` in it, and the page that it is on."""
    pages = [chance.sample(filler, chance.randrange(2, 5)) for _ in range(chance.randrange(2, 5))]
    place = chance.randrange(len(pages))
    pages[place].insert(chance.randrange(len(pages[place]) + 1), fact.sentence)
    data = WRITERS[ending](name, pages)
    return File(owner, f"{name}.{ending}", data), place + 1 if ending in PAGED else 0


Pages = list[list[str]]
Writer = Callable[[str, Pages], bytes]


def _blocks(name: str, pages: Pages) -> list[papers.Block]:
    blocks: list[papers.Block] = [Heading(name)]
    for number, page in enumerate(pages, start=1):
        blocks += [Heading(f"Part {number}", 2), " ".join(page)]
    return blocks


def _rows(pages: Pages) -> list[list[str]]:
    lines = [line for page in pages for line in page]
    return [["Nr", "Note"], *([str(number), line] for number, line in enumerate(lines, start=1))]


def _wrapped(pages: Pages) -> list[list[str]]:
    return [[part for line in page for part in _folded(line)] for page in pages]


def _folded(line: str) -> Iterator[str]:
    words = line.split()
    while words:
        taken = [words.pop(0)]
        while words and len(" ".join((*taken, words[0]))) <= LINE:
            taken.append(words.pop(0))
        yield " ".join(taken)


def _paragraphs(pages: Pages) -> str:
    return "\n\n".join("\n".join(page) for page in pages) + "\n"


def _slides(name: str, pages: Pages) -> list[tuple[str, str]]:
    return [(f"{name} {number}", " ".join(page)) for number, page in enumerate(pages, start=1)]


def _source(name: str, pages: Pages) -> bytes:
    parts = (
        f'def part_{number}():\n    """{" ".join(page)}"""\n    return {number}\n'
        for number, page in enumerate(pages, start=1)
    )
    return f'"""{name}"""\n\n\n'.encode() + "\n\n".join(parts).encode()


def _mail(name: str, pages: Pages) -> bytes:
    return papers.eml(name, _paragraphs(pages))


def _mailbox(name: str, pages: Pages) -> bytes:
    messages = [
        papers.eml(f"{name} ({number})", "\n".join(page))
        for number, page in enumerate(pages, start=1)
    ]
    return papers.mbox(messages)


WRITERS: dict[str, Writer] = {
    "csv": lambda name, pages: papers.csv(_rows(pages), ";", "cp1252"),
    "docx": lambda name, pages: papers.docx(_blocks(name, pages)),
    "eml": _mail,
    "epub": lambda name, pages: papers.epub([(f"Part {n}", p) for n, p in enumerate(pages, 1)]),
    "html": lambda name, pages: papers.html(_blocks(name, pages), name),
    "letter.eml": lambda name, pages: papers.eml(
        name, "See the attachment.", attached={"letter.docx": papers.docx(_blocks(name, pages))}
    ),
    "mbox": _mailbox,
    "md": lambda name, pages: papers.markdown(_blocks(name, pages)),
    "odp": lambda name, pages: papers.odp(_slides(name, pages)),
    "ods": lambda name, pages: papers.ods({"Notes": _rows(pages)}),
    "odt": lambda name, pages: papers.odt(_blocks(name, pages)),
    "pdf": lambda name, pages: papers.pdf(_wrapped(pages)),
    "png": lambda name, pages: papers.picture(
        [line for page in _wrapped(pages) for line in page], size=34
    ),
    "pptx": lambda name, pages: papers.pptx([(*slide, "") for slide in _slides(name, pages)]),
    "py": _source,
    "scan.pdf": lambda name, pages: papers.pictures(_wrapped(pages)),
    "txt": lambda name, pages: _paragraphs(pages).encode("utf-16"),
    "xlsx": lambda name, pages: papers.xlsx({"Notes": _rows(pages)}),
}
"""How each ending is written."""
RECOGNIZED = ("png", "scan.pdf")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.household_corpus",
        description="Write a household's documents and the questions about them.",
        epilog="example:\n  python -m tests.household_corpus /tmp/household --seed 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1, help="another household (1)")
    asked = parser.parse_args()
    made = corpus(asked.seed)
    for file in made.files:
        path = asked.folder / file.owner / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
    truth = [dataclasses.asdict(question) for question in made.questions]
    (asked.folder / "truth.json").write_text(json.dumps(truth, ensure_ascii=False, indent=1))
    print(f"{len(made.files)} documents, {len(truth)} questions")


if __name__ == "__main__":
    main()
