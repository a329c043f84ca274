"""goni_rag.wordpiece counts as the engine does, in any script; and reads no file that is none."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_core import paths
from goni_core.contract import EMBEDDING_CONTEXT, EMBEDDING_FILE
from goni_engine.native import Encoder
from goni_rag import chunk, wordpiece
from goni_rag.sections import Extract, Section

TEXTS = (
    "Hello, world! It's 5 o'clock.",
    "Größe der Geschirrspülmaschinenreparatur: 89,90 €",
    "漢字かなカタカナ한국어 텍스트",
    "def f(x): return x**2 # naïve",
    "a\tb\n\nc  d",
    "“quoted” – dash… ﬁ ½ ² ™ © →",
    "नमस्ते दुनिया שלום עולם مرحبا Привет",
    "e\u0301 \u200b zero \ufeff width \xad soft \x01",
    "😀 emoji 👩‍👩‍👧",
    "x" * 300,
)
SIGNS = [chr(code) for code in (*range(32, 0x2000), *range(0x4E00, 0x4F00), *range(0xAC00, 0xAD00))]


@pytest.fixture(scope="module")
def encoder() -> Iterator[Encoder]:
    model = paths.models_dir() / EMBEDDING_FILE
    found = Encoder(paths.engine_dir() / "lib", model, context=EMBEDDING_CONTEXT, threads=1)
    yield found
    found.close()


def test_it_counts_as_the_engine_does(encoder: Encoder):
    counter = wordpiece.model()
    assert counter is not None
    chance = random.Random(7)
    noise = ["".join(chance.choices(SIGNS, k=30)) for _ in range(200)]
    for text in (*TEXTS, *noise):
        found, cut = encoder.tokens(text)
        assert cut or counter.count(text) == len(found) - 2, text


def test_no_passage_is_longer_than_the_model_takes(encoder: Encoder):
    chance = random.Random(8)
    noise = "".join(chance.choices([*SIGNS, *" " * 900], k=20_000))
    for text in (" ".join(TEXTS) * 60, "Wärmepumpenwartungsvertrag; " * 900, noise):
        for part in chunk.split(Extract((Section(text, heading="Haus > Heizung"),)), "Brief.txt"):
            whole = chunk.embedded_text("Brief.txt", part.heading, part.text)
            assert not encoder.tokens(whole)[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"text" * 20,
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 60),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 99),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes):
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises((ValueError, struct.error)):
        wordpiece.vocabulary(path)
