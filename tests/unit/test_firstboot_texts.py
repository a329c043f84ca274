"""The catalogue of texts: complete, and the same in every language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import goni_firstboot
from goni_firstboot import form, texts

PACKAGE = Path(goni_firstboot.__file__).parent
LANGUAGES = sorted(path.stem for path in (PACKAGE / "texts").glob("*.yaml"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts(language: str) -> None:
    assert texts.load(language).keys() == texts.load("en").keys()


def test_every_text_that_a_template_names_is_there() -> None:
    known = texts.load("en").keys()
    used = {
        key
        for template in (PACKAGE / "templates").glob("*.html")
        for key in re.findall(r"""\bt\("([a-z0-9_.]+)"[,)]""", template.read_text())
    }
    assert len(used) > 10
    assert used <= known


def test_every_fault_of_the_form_has_words() -> None:
    known = texts.load("en").keys()
    named = re.findall(r'"((?:node_name|owner_name|password)_[a-z_]+)"', form_source())
    faults = set(named) - {"node_name", "owner_name", "password_again"}
    assert len(faults) >= 10
    assert {f"form.fault.{fault}" for fault in faults} <= known


def form_source() -> str:
    return Path(form.__file__).read_text()


def test_missing_text_is_a_bug() -> None:
    with pytest.raises(KeyError):
        texts.load("en")("no.such.text")


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
    assert texts.load("en").duration(seconds) == words
