"""What a node says of its models to others: files told apart, numbers that hold still."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goni_core import contract
from goni_core.contract import Load, ModelLoad
from goni_core.errors import BadInput
from goni_engine.load import rounded, tag_of
from goni_mesh import loads
from tests.models import write_tiny_chat_model

MODEL = ModelLoad("m", "t", 1 << 20, "loaded", 4096, 4, 1, 0, 1700.0, 80.0, False)


def said_of(load: Load) -> dict:
    """As it is on the line."""
    return json.loads(json.dumps(contract.plain(load)))


def test_files_of_one_name_and_size_are_told_apart(tmp_path: Path) -> None:
    one = write_tiny_chat_model(tmp_path / "one.gguf", seed=1)
    same = write_tiny_chat_model(tmp_path / "same.gguf", seed=1)
    other = write_tiny_chat_model(tmp_path / "other.gguf", seed=2)
    assert one.stat().st_size == other.stat().st_size
    assert tag_of(one) == tag_of(same) != tag_of(other)
    assert tag_of(tmp_path / "gone.gguf") == ""


def test_speeds_hold_still() -> None:
    assert [rounded(speed) for speed in (0.0, 79.6, 80.4, 1692.0)] == [0.0, 80.0, 80.0, 1700.0]


def test_a_load_is_the_same_on_both_sides() -> None:
    load = Load(2048, (MODEL,))
    heard = contract.load_from(said_of(load))
    assert heard == load
    assert loads.digest(heard) == loads.digest(load) != loads.digest(Load())


@pytest.mark.parametrize(
    "field",
    [
        {"slots": -1},
        {"slots": 1 << 40},
        {"prefill": "fast"},
        {"prefill": float("inf")},
        {"decode": True},
        {"tag": ""},
        {"tag": "x" * 100},
        {"state": 3},
        {"pictures": 1},
    ],
)
def test_a_peers_nonsense_names_the_field(field: dict) -> None:
    said = said_of(Load(1, (MODEL,)))
    said["models"][0] |= field
    with pytest.raises(BadInput, match=next(iter(field))):
        contract.load_from(said)


def test_a_peer_with_too_many_models_is_refused() -> None:
    said = said_of(Load(1, (MODEL,) * (contract.MOST_LOADS + 1)))
    with pytest.raises(BadInput, match="models"):
        contract.load_from(said)
