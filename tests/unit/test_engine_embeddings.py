"""Requests for embeddings are read strictly and answered in OpenAI's shape."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from goni_core import contract
from goni_core.errors import BadInput, GoniError, NotFound
from goni_engine import embeddings, golden
from goni_engine.embedder import Embedded, batches
from goni_engine.embeddings import Wanted


def request(**fields: Any) -> dict[str, Any]:
    return {"model": contract.EMBEDDING_MODEL, "input": "one"} | fields


def test_one_text_and_many_texts_are_understood() -> None:
    assert embeddings.parse(request()) == Wanted(("one",), False)
    many = request(input=["one", "two"], encoding_format="base64", user="somebody")
    assert embeddings.parse(many) == Wanted(("one", "two"), True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "1 to 2048"),
        ({"input": ["x"] * 2049}, "1 to 2048"),
        ({"input": [1, 2]}, "list of strings"),
        ({"input": ["a", ""]}, "text 1 is empty"),
        ({"input": {"a": 1}}, "list of strings"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 100}, "dimensions"),
        ({"surprise": 1}, "surprise"),
        ({"model": 7}, "model"),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        embeddings.parse(request(**fields))


def test_another_model_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        embeddings.parse(request(model="text-embedding-3-small"))
    assert caught.value.code == "model_not_found"


def test_base64_holds_the_same_numbers() -> None:
    embedded = Embedded(np.array([[0.6, -0.8]], dtype=np.float32), 3, (0,))
    plain = embeddings.answer(Wanted(("x",), False), embedded)
    coded = embeddings.answer(Wanted(("x",), True), embedded)
    numbers = np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4")  # type: ignore[index]
    assert numbers.tolist() == plain["data"][0]["embedding"]  # type: ignore[index]
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert plain["goni"] == {"cut": [0]}


def test_texts_are_cut_into_batches_that_fit() -> None:
    assert list(batches([])) == []
    assert list(batches([256] * 9)) == [
        range(0, 2),
        range(2, 4),
        range(4, 6),
        range(6, 8),
        range(8, 9),
    ]
    assert [len(batch) for batch in batches([3] * 130)] == [64, 64, 2]


def test_golden_numbers_tell_rounding_from_nonsense() -> None:
    pairs = golden.load()
    exact = np.array([pair.vector for pair in pairs], dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 0.0005, exact.shape).astype(np.float32)
    assert golden.compare(pairs, exact).ok
    assert golden.compare(pairs, exact + noise).ok
    assert not golden.compare(pairs, exact[::-1]).ok
    assert not golden.compare(pairs, np.zeros_like(exact) + 0.05).ok
    one_wrong = exact.copy()
    one_wrong[0, 7] += 0.02
    assert not golden.compare(pairs, one_wrong).ok


def test_golden_numbers_that_are_missing_are_an_error(tmp_path: Any) -> None:
    for content in ("{", "[]", '[{"text": "a", "embedding": [1]}]'):
        path = tmp_path / f"{len(content)}.json"
        path.write_text(content)
        with pytest.raises(GoniError):
            golden.load(path)
    with pytest.raises(GoniError):
        golden.load(tmp_path / "nowhere.json")
