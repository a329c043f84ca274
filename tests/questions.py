"""An evaluation set of household documents: facts, and questions in other words, by exact terms,
and by both. Written by hand as topics and by script as documents; nobody is real.

Each topic has several documents that differ in a person and a code. ``paraphrase`` shares no
telling word with the text, ``exact`` names the code that only one document has, ``both`` describes
the topic in other words and names the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PEOPLE = ("Petra", "Jonas", "Amira", "Olga", "Henrik")


@dataclass(frozen=True)
class Topic:
    """``text`` with {who} and {code}; ``other`` asks for it without its words."""

    name: str
    text: str
    other: str


TOPICS = (
    Topic(
        "boiler",
        "The boiler was serviced for {who} by the municipal works. Contract {code} runs until "
        "spring and costs 180 euros a year.",
        "who looks after the central heating",
    ),
    Topic(
        "car",
        "{who} bought the estate car second-hand; chassis {code}. Mileage at purchase was 84,000.",
        "how many kilometres had the vehicle when it was acquired",
    ),
    Topic(
        "allergy",
        "{who} is allergic to penicillin. Patient file {code}; control visit in six months.",
        "which antibiotics must be avoided",
    ),
    Topic(
        "router",
        "To reset the device of {who}, serial {code}, hold the button on the back for ten seconds "
        "until the light blinks red.",
        "restoring factory settings of the internet box",
    ),
    Topic(
        "lease",
        "The tenant {who} may keep small pets. Agreement {code}; notice is three months.",
        "are dogs permitted in the rented flat",
    ),
    Topic(
        "flight",
        "Boarding pass for {who}: departure 06:40 from gate B12, booking {code}, one suitcase.",
        "what time does the plane leave",
    ),
    Topic(
        "school",
        "The head teacher praises the progress of {who} in arithmetic. Report {code}, second term.",
        "how good are the pupil's maths marks",
    ),
    Topic(
        "insurance",
        "Policy {code}: burglary, fire and storm damage to the home of {who} are covered up to "
        "60,000 euros.",
        "are we protected if thieves break in",
    ),
    Topic(
        "recipe",
        "{who}'s plum cake, card {code}: knead flour, butter and yeast, let it rise for an hour, "
        "bake at 180 degrees.",
        "how to make the fruit pastry in the oven",
    ),
    Topic(
        "salary",
        "Payslip {code} of {who}: gross pay 3,912 euros, income tax 611 euros, paid on the 28th.",
        "how much does the employer transfer each month",
    ),
    Topic(
        "garden",
        "{who} plants the tomatoes after the ice saints and waters them each evening. Bed {code}.",
        "growing vegetables outdoors",
    ),
    Topic(
        "will",
        "Notary deed {code}: after the death of {who} the house goes to the daughters in equal "
        "shares.",
        "who inherits the property",
    ),
)
"""Beside each of them stand the same documents of other people, which only name or code tell
apart."""


@dataclass(frozen=True)
class Asked:
    """A question, its kind, and the ids of the documents that answer it."""

    id: str
    kind: str
    text: str
    documents: tuple[str, ...]


def documents() -> dict[str, str]:
    """Id -> text."""
    return {
        _id(topic, number): topic.text.format(who=who, code=_code(topic, number))
        for topic in TOPICS
        for number, who in enumerate(PEOPLE)
    }


def questions() -> list[Asked]:
    """Every question on :func:`documents`, as many of each kind."""
    asked = []
    for topic in TOPICS:
        every = tuple(_id(topic, number) for number in range(len(PEOPLE)))
        asked.append(Asked(f"{topic.name}-other", "paraphrase", topic.other, every))
        code = f"what is {_code(topic, 0)}"
        asked.append(Asked(f"{topic.name}-code", "exact", code, (_id(topic, 0),)))
        both = f"{topic.other} ({PEOPLE[1]})"
        asked.append(Asked(f"{topic.name}-both", "both", both, (_id(topic, 1),)))
    return asked


ABSENT = (
    "who won the football championship",
    "explain quantum entanglement",
    "what is the capital of Mongolia",
    "tell me a joke about penguins",
    "how do volcanoes erupt",
    "best chess opening for beginners",
    "when was the printing press invented",
    "translate good morning into Swahili",
    "lyrics of the national anthem",
    "how far away is the moon",
    "which dinosaurs could fly",
    "how does a submarine dive",
    "rules of the offside trap in rugby",
    "what are prime numbers used for",
    "who painted the Sistine chapel",
    "how tall is Mount Kilimanjaro",
)
"""Questions that nothing here answers."""


def write(folder: Path) -> None:
    """``docs/``, ``queries.tsv`` and ``qrels.trec`` in ``folder``, as ``goni-rag eval`` reads."""
    (folder / "docs").mkdir(parents=True)
    for name, text in documents().items():
        (folder / "docs" / f"{name}.txt").write_text(text)
    asked = questions()
    (folder / "queries.tsv").write_text("".join(f"{one.id}\t{one.text}\n" for one in asked))
    judged = [f"{one.id} 0 {name} 1\n" for one in asked for name in one.documents]
    (folder / "qrels.trec").write_text("".join(judged))


def _id(topic: Topic, number: int) -> str:
    """Says nothing about what is in it, or the name would answer."""
    return f"{(TOPICS.index(topic) * 7 + number * 31) % 97:04}-{TOPICS.index(topic)}{number}"


def _code(topic: Topic, number: int) -> str:
    place = TOPICS.index(topic)
    return f"{chr(65 + place)}{chr(75 + number)}-{(place * 389 + number * 1733) % 9000 + 1000}"
