"""What an answer's claims stand on."""

from __future__ import annotations

import time

from goni_core.contract import Source
from goni_gateway import citations

LEASE = Source(
    *("lease.pdf", 4, "", "The rent is 900 euros a month. Dogs are allowed. Cats are not.", 1.0)
)
BOILER = Source(
    *("boiler.txt", 0, "", "Serviced in March 2024 by Kowalski.\nNext: March 2025.", 1.0)
)


def quotes(answer: str) -> list[tuple[object, object, object]]:
    found = citations.of(answer, [LEASE, BOILER])
    return [(each["n"], each["page"], each["quote"]) for each in found]


def test_each_claim_has_the_words_that_it_stands_on() -> None:
    answer = "You may keep a dog: dogs are allowed [1]. The rent is 900 euros. [1]"
    assert quotes(answer) == [
        (1, 4, "Dogs are allowed."),
        (1, 4, "The rent is 900 euros a month."),
    ]
    assert quotes("It was serviced by Kowalski in March 2024 [2].") == [
        (2, 0, "Serviced in March 2024 by Kowalski.")
    ]


def test_a_claim_may_stand_on_several_sources() -> None:
    found = quotes("The rent is 900 euros and the next service is in March 2025 [1, 2].")
    assert found == [(1, 4, "The rent is 900 euros a month."), (2, 0, "Next: March 2025.")]


def test_what_no_source_says_has_no_quote() -> None:
    assert quotes("Zebras gallop [2].") == [(2, 0, "")]
    assert quotes("Something else [7].") == [(7, 0, "")]
    assert quotes("Nothing is cited here.") == []


def test_japanese_is_quoted_by_its_sentences() -> None:
    source = Source("a.txt", 0, "", "家賃は九万円です。犬は飼えます。", 1.0)
    found = citations.of("犬は飼えます[1]。", [source])
    assert [each["quote"] for each in found] == ["犬は飼えます。"]


def test_a_hostile_answer_takes_no_time() -> None:
    began = time.monotonic()
    for text in (
        "[1" * 50_000,
        "." * 100_000,
        "a. " * 33_000 + "[1]",
        "[1 , " * 20_000,
        " " * 99_999,
    ):
        citations.of(text, [LEASE])
    assert time.monotonic() - began < 30
