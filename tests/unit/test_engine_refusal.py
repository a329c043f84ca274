"""Errors of llama-server reach the caller with the right blame and without anybody's words."""

from __future__ import annotations

import pytest

from goni_core.errors import GoniError
from goni_engine.refusal import refusal, unquoted


def said(message: str, status: int = 500, code: str = "server_error") -> GoniError:
    error = GoniError(message, code=code)
    error.status = status
    return error


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Failed to parse messages: Missing 'role' in message: {x}", "Missing 'role' in message"),
        ("Failed to parse tools: Missing tool type: {x}; tools = [x]", "Missing tool type"),
        ("Invalid tool_choice: secret", "Invalid tool_choice"),
        ("Expected 'messages' to be an array, got secret", "Expected 'messages' to be an array"),
        (
            "Field 'top_k': Value must be less than 5, but got 7",
            "Field 'top_k': Value must be less than 5",
        ),
        ("Field 'x': unknown word: secret", "Field 'x': unknown word"),
        ("{secret", ""),
    ],
)
def test_messages_lose_what_they_quote(message: str, shown: str) -> None:
    assert unquoted(message) == shown


def test_a_request_that_cannot_be_parsed_is_the_callers_fault() -> None:
    told = refusal(said("Failed to parse messages: Missing 'role' in message: {}"), 100)
    assert (told.status, told.code) == (400, "invalid_request")
    told = refusal(said("[json.exception.type_error.302] type must be string"), 100)
    assert (told.status, told.code) == (400, "bad_type")


def test_a_failed_computation_is_the_nodes_fault() -> None:
    told = refusal(said("Compute error."), 100)
    assert (told.status, told.code) == (500, "engine_error")


def test_a_long_conversation_is_told_the_limit() -> None:
    told = refusal(said("request (9 tokens) exceeds", 400, "exceed_context_size_error"), 8192)
    assert (told.status, told.code) == (400, "context_length_exceeded")
    assert "8192" in told.message
