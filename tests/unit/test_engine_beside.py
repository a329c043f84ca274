"""What lies beside a model: found, counted, and left out when it can't be used."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from goni_core.errors import BadInput
from goni_engine import beside, store
from goni_engine.pictures import MOST_PIXELS
from tests.guesser import write_guessing_model
from tests.models import write_tiny_chat_model
from tests.projector import write_tiny_projector


def write_clip(path: Path, *, vision: bool | None, widest: int = 64) -> Path:
    writer = gguf.GGUFWriter(path, "clip")
    if vision is not None:
        writer.add_clip_has_vision_encoder(vision)
    writer.add_vision_feed_forward_length(widest)
    writer.add_tensor("v.patch_embd.weight", np.ones((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_projector_is_found_and_counted_with_its_model(tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    blind = store.inspect(model)
    projector = write_tiny_projector(tmp_path / "tiny.mmproj.gguf")
    seeing = store.inspect(model)
    assert (blind.reads_pictures, seeing.reads_pictures) == (False, True)
    more = seeing.usable_card().bytes - blind.usable_card().bytes
    assert more > projector.stat().st_size + 3 * MOST_PIXELS


@pytest.mark.parametrize("vision", [None, False])
def test_a_projector_for_something_else_is_refused(tmp_path: Path, vision: bool | None) -> None:
    with pytest.raises(BadInput, match="does not read pictures"):
        beside.check(write_clip(tmp_path / "p", vision=vision), beside.PROJECTOR)


def test_a_projector_with_hostile_numbers_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "p", vision=True, widest=(1 << 32) - 1)
    with pytest.raises(BadInput, match="feed_forward_length"):
        beside.check(path, beside.PROJECTOR)


def test_a_damaged_projector_leaves_the_model_usable(tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    whole = write_tiny_projector(tmp_path / "p").read_bytes()
    for content in (whole[:-100], whole[:50], b"PK\x03\x04", b"", model.read_bytes()):
        (tmp_path / "tiny.mmproj.gguf").write_bytes(content)
        entry = store.inspect(model)
        assert entry.card is not None
        assert not entry.reads_pictures


def test_a_draft_is_counted_with_its_model_unless_there_is_a_projector(tmp_path: Path) -> None:
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    alone = store.inspect(model).usable_card()
    write_tiny_chat_model(tmp_path / "tiny.draft.gguf", seed=2)
    helped = store.inspect(model).usable_card()
    assert helped.kv_bytes == 2 * alone.kv_bytes
    assert helped.bytes > 2 * alone.bytes
    write_tiny_projector(tmp_path / "tiny.mmproj.gguf")
    seeing = store.inspect(model)
    assert seeing.beside.draft is None
    assert seeing.reads_pictures


def test_a_draft_must_be_a_whole_chat_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="projector"):
        beside.check(write_tiny_projector(tmp_path / "p"), beside.DRAFT)
    whole = write_tiny_chat_model(tmp_path / "m").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-100])
    with pytest.raises(BadInput, match="truncated"):
        beside.check(tmp_path / "cut", beside.DRAFT)


def test_guessing_layers_are_used_when_they_are_there_and_there_is_no_draft(tmp_path: Path) -> None:
    own = store.inspect(write_guessing_model(tmp_path / "own.gguf"))
    assert own.beside.arguments == ("--spec-type", "draft-mtp")
    assert own.card is not None
    assert own.usable_card().bytes > own.card.bytes
    without = store.inspect(write_guessing_model(tmp_path / "plain.gguf", guesses=0))
    assert not without.beside.guesses
    write_guessing_model(tmp_path / "own.draft.gguf", guesses=0)
    assert "draft-simple" in store.inspect(tmp_path / "own.gguf").beside.arguments
