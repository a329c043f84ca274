"""goni_rag.chunk: passages fit the model, miss nothing and know where they stand."""

from __future__ import annotations

import random

import pytest

from goni_rag import chunk
from goni_rag.sections import Extract, Section

PROSE = (
    "The boiler was installed in 2019. It is serviced every spring; the contract is with the "
    "municipal works.\n\nWhen the pressure falls below one bar, water has to be added. The tap "
    "is behind the panel.\n\n"
)


def split(text: str, **where: object) -> tuple[chunk.Chunk, ...]:
    return chunk.split(Extract((Section(text, **where),)), "boiler.txt")


@pytest.mark.parametrize(
    "text",
    [
        PROSE * 40,
        "word " * 5000,
        "x" * 50_000,
        "漢字かな" * 3000,
        "ein Satz.  " * 900,
        "1,234.56;" * 2000,
        "a" + " " * 100_000 + "b",
        "\n" * 30_000 + "end",
        "https://example.org/" + "a/b?c=d&" * 400,
    ],
)
def test_every_passage_fits_the_model_and_no_sign_is_lost(text: str):
    chunks = split(text)
    for part in chunks:
        whole = chunk.embedded_text("boiler.txt", part.heading, part.text)
        assert 0 < chunk.tokens(whole) <= chunk.ROOM
        assert text[part.start : part.stop] == part.text
    assert "".join("".join(part.text.split()) for part in chunks) == "".join(text.split())


def test_short_paragraphs_stay_together():
    assert len(split(PROSE)) == 1


def test_cuts_fall_between_paragraphs_where_they_can():
    chunks = split(PROSE * 10)
    assert len(chunks) > 1
    assert all(part.text.endswith(("works.", "panel.")) for part in chunks)


def test_offsets_count_from_the_start_of_the_document():
    (part,) = split("  \n indented", start=1000, page=7, heading="A > B")
    assert (part.start, part.stop) == (1004, 1012)
    assert (part.page, part.heading) == (7, "A > B")


def test_passages_never_cross_a_page():
    extract = Extract((Section("one", page=1), Section("two", page=2, start=4)))
    assert [(part.text, part.page) for part in chunk.split(extract, "x.pdf")] == [
        ("one", 1),
        ("two", 2),
    ]


def test_blank_text_has_no_passages():
    assert split(" \n\n\t ") == ()


def test_a_long_name_and_heading_leave_room_for_the_text():
    name, heading = "very long name " * 13 + ".txt", "deep heading " * 50 + " > inner " * 40
    extract = Extract((Section("word " * 400, heading=heading),))
    for part in chunk.split(extract, name):
        whole = chunk.embedded_text(name, heading, part.text)
        assert chunk.tokens(whole) <= chunk.ROOM
        assert len(part.text) > 500 or part.stop == 1999


def test_what_is_embedded_begins_with_name_and_inner_headings():
    shown = chunk.embedded_text("Boiler manual.pdf", "House > Heating > Boiler", "Text.")
    assert shown == "Boiler manual\nHeating > Boiler\nText."


def test_random_text_survives_cutting():
    chance = random.Random(3)
    for _ in range(30):
        text = "".join(chance.choice("ab.  \n\t漢é1-") for _ in range(4000))
        joined = "".join(part.text for part in split(text))
        assert "".join(joined.split()) == "".join(text.split())
