"""Errors split by blame: the caller's, the node's, or somebody else's.

Raised low, caught in two places: a command's ``main()`` (:func:`exit_with`) and the HTTP layer
(``goni_core.web``). Messages name the field or file at fault and never carry personal text or
secrets; a ``hint`` says what to do next. Anything that is not a :class:`GoniError` is a bug and
keeps its traceback.
"""

from __future__ import annotations

import sys
from typing import NoReturn


class GoniError(Exception):
    """An expected failure of this node: HTTP 500 unless a subclass says otherwise."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class BadInput(GoniError):
    """The caller sent something that can't be taken as it is."""

    status = 400
    code = "invalid_request"


class NotAllowed(GoniError):
    """The caller isn't known (401)."""

    status = 401
    code = "unauthorized"


class Forbidden(GoniError):
    """The caller is known and may not do this (403)."""

    status = 403
    code = "forbidden"


class NotFound(GoniError):
    """The named thing doesn't exist, or not for this caller."""

    status = 404
    code = "not_found"


class Conflict(GoniError):
    """The thing exists already, or the node is in a state that doesn't allow this."""

    status = 409
    code = "conflict"


class TooLarge(GoniError):
    """Over a documented size limit."""

    status = 413
    code = "too_large"


class TooMany(GoniError):
    """Too many tries or requests; ``retry_after`` is in seconds."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after = retry_after


class Unavailable(GoniError):
    """A part of this node isn't ready or not reachable: worth a retry."""

    status = 503
    code = "unavailable"


class DiskFull(GoniError):
    """Not enough room to take the thing; nothing was written."""

    status = 507
    code = "disk_full"


def exit_with(error: GoniError) -> NoReturn:
    """Print ``error`` in one or two lines on stderr and end the command with status 1."""
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    raise SystemExit(1)
