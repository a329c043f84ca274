"""The catalogues of texts: complete, the same in every language, and all that any page says."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
from jinja2 import Environment

import goni_firstboot
from goni_firstboot import texts

PACKAGE = Path(goni_firstboot.__file__).parent
TEMPLATES = sorted((PACKAGE / "templates").rglob("*.html"))
ENGLISH = texts.load("en")


def places(text: str) -> set[str]:
    """What is filled in, by name."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_english_and_german_are_there() -> None:
    assert {"de", "en"} <= set(texts.languages())


@pytest.mark.parametrize("language", texts.languages())
def test_every_language_has_the_same_texts_and_fills_in_the_same(language: str) -> None:
    other = texts.load(language)
    assert other.keys() == ENGLISH.keys()
    for key in ENGLISH.keys():  # noqa: SIM118 - Texts is no mapping
        assert places(other.raw(key)) == places(ENGLISH.raw(key)), key


@pytest.mark.parametrize("language", texts.languages())
def test_screens_lines_leave_room_for_the_code(language: str) -> None:
    words = texts.load(language)
    lines = [words.raw(key) for key in words.keys() if key.startswith("screen.")]  # noqa: SIM118
    assert all(len(re.sub(r"\{\w+\}", "", line)) <= 51 for line in lines)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_pages_say_nothing_that_is_not_in_the_catalogue(template: Path) -> None:
    """What stands in a template outside of tags and of ``{{ }}`` holds no letter, but for the
    parts of an address.
    """
    tokens = Environment(autoescape=True).lex(template.read_text())
    data = "".join(
        value if kind == "data" else "x" if kind == "variable_begin" else ""
        for _, kind, value in tokens
    )
    # Within HTML's tags nothing is said, nor in attributes that a block puts into one.
    said = re.sub(r'<[^>]*>|[\w-]+="[^"]*"|https://|\.local/', "", data).replace("x", "")
    assert not re.search(r"[A-Za-z]", said), said


def test_every_text_that_a_template_names_is_there() -> None:
    used = {
        key
        for template in TEMPLATES
        for key in re.findall(r"""\bt\("([a-z0-9_.]+)"[,)]""", template.read_text())
    }
    assert len(used) > 50
    assert used <= ENGLISH.keys()


def test_every_fault_of_a_step_has_words() -> None:
    sources = [path.read_text() for path in (PACKAGE / "steps").glob("*.py")]
    named = {
        fault
        for source in sources
        for pattern in (r'Again\(\{"\w+": "([a-z_]+)"', r'return (?:"" if .* else )?"([a-z]+_\w+)"')
        for fault in re.findall(pattern, source)
    }
    assert len(named) >= 12
    assert {f"fault.{fault}" for fault in named} <= ENGLISH.keys()


def test_every_step_has_a_title_and_an_introduction() -> None:
    names = [path.stem for path in (PACKAGE / "templates/steps").glob("*.html")]
    assert len(names) >= 7
    for name in names:
        assert {f"{name}.title", f"{name}.intro"} <= ENGLISH.keys()


def test_missing_text_is_a_bug() -> None:
    with pytest.raises(KeyError):
        ENGLISH("no.such.text")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr,en;q=0.5,de;q=0.7", "de"),
        ("DE-ch", "de"),
        ("de;q=0", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("de;q=nonsense", "en"),
        (";;;,,q=1;;", "en"),
        ("x" * 100_000, "en"),
        ("../de", "en"),
    ],
)
def test_language_is_the_best_that_the_browser_asks_for(header: str, language: str) -> None:
    assert texts.preferred(header, texts.languages()) == language


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (30, "30 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (121, "3 minutes"),
        (3600, "60 minutes"),
    ],
)
def test_waiting_times_are_said_in_words(seconds: int, words: str) -> None:
    assert ENGLISH.duration(seconds) == words


@pytest.mark.parametrize(
    ("size", "english", "german"),
    [
        (1, "1 MB", "1 MB"),
        (999_000_000, "999 MB", "999 MB"),
        (22_134_528_992, "22.1 GB", "22,1 GB"),
    ],
)
def test_sizes_are_said_as_people_write_them(size: int, english: str, german: str) -> None:
    assert (ENGLISH.size(size), texts.load("de").size(size)) == (english, german)
