"""llama-server's errors as Goni's: whose fault it was, in OpenAI's codes, without the request's
text.

llama-server calls most bad requests its own failure (500) and quotes them in its messages; a quote
could end in somebody's log.
"""

from __future__ import annotations

import re

from goni_core.errors import BadInput, GoniError

OWN_FAULTS = (
    "Compute error",
    "Context size",
    "Failed to tokenize",
    "Invalid input batch",
    "The model produced",
    "failed to process",
    "got exception",
    "the current context",
)
"""How messages about the engine's own failures begin (server-context.cpp, chat.cpp); the other
internal errors come from parsing the request."""
TOO_LARGE = "is too large to process"
"""What a reranker says of a question and a passage that don't fit into one batch."""
_PREFIX = re.compile(r"^(Failed to parse (messages|tools): )?")
_MESSAGE = re.compile(r"(Field '\w+': )?((?!,? but got | got | - )[^:\"{\[\n])*")
"""A message up to where it begins to quote."""
LONGEST = 200


def refusal(error: GoniError, context: int) -> GoniError:
    """What the caller is told; ``context`` is in tokens."""
    if error.code == "exceed_context_size_error" or TOO_LARGE in error.message:
        return BadInput(
            f"the text is longer than the {context} tokens that this model takes here",
            code="context_length_exceeded",
        )
    if "json.exception" in error.message:
        return BadInput("a field has the wrong type", code="bad_type")
    words = unquoted(error.message)
    if error.status == 500 and error.message.startswith(OWN_FAULTS):
        return GoniError(words or "llama-server failed", code="engine_error")
    if error.status == 503:
        return error
    return BadInput(words or "llama-server refused the request")


def unquoted(message: str) -> str:
    """``message`` without what it quotes from the request."""
    rest = _PREFIX.sub("", message, count=1)
    match = _MESSAGE.match(rest)
    return match[0].rstrip(" ,;:")[:LONGEST] if match else ""
