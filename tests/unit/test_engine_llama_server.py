"""What llama-server says while it loads becomes a reason a person can read."""

from __future__ import annotations

from goni_engine.llama_server import ASSERTION, reason_in


def test_the_reason_is_the_line_about_the_model() -> None:
    lines = [
        "llama_model_load: error loading model: unknown model architecture: 'martian'",
        "llama_model_load_from_file_impl: failed to load model",
        "0.00.035.060 E srv    load_model: failed to load model, '/var/lib/goni/x.gguf'",
    ]
    assert reason_in(lines) == "error loading model: unknown model architecture: 'martian'"


def test_no_reason_is_made_up() -> None:
    assert reason_in([]) == ""
    assert reason_in(["all is well"]) == ""


def test_only_plain_assertions_are_passed_on() -> None:
    assert ASSERTION.match("/src/ggml.c:123: GGML_ASSERT(a->ne[0] == n) failed")
    assert not ASSERTION.match("failed to parse grammar: GGML_ASSERT(what a person wrote) failed")
    assert not ASSERTION.match('/src/x.cpp:1: GGML_ASSERT("quoted text") failed')
