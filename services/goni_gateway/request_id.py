"""The id of a request: on its answer and on every log line that it causes, so that a person can
point at one without telling what was in it.

A client may bring its own; one that isn't short and plain is replaced.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar

from goni_gateway import tokens

HEADER = "x-request-id"
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def begin(proposed: str | None) -> str:
    """The id of the request that this task answers from now on."""
    sane = proposed is not None and _SANE.fullmatch(proposed) and not _secret(proposed)
    chosen = proposed if sane and proposed else f"req-{tokens.new_id()}"
    _current.set(chosen)
    return chosen


def _secret(text: str) -> bool:
    """Whether a muddled client put an API key there."""
    return text.startswith(("goni-", "sk-"))


def _mark(record: logging.LogRecord) -> bool:
    if request_id := _current.get():
        record.msg = f"[{request_id}] {record.msg}"
    return True


def mark_logs() -> None:
    """Put the id in front of each line that is logged while a request is answered."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_mark)
