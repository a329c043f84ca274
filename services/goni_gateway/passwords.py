"""Passwords: argon2id, in a worker thread, few at a time.

One hash takes 100 MiB and a good part of a second, which is the point (RFC 9106); so at most two
run at once, or signing in would be a way to exhaust the node.
"""

from __future__ import annotations

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHash, VerificationError

from goni_core.errors import BadInput

SHORTEST = 8
LONGEST = 1024

_hasher = PasswordHasher()
_pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="password")


def acceptable(password: str) -> str:
    """``password`` in one Unicode form (RFC 8265), whatever keyboard typed it; :class:`BadInput`
    when its length is out of bounds.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadInput(
            f"the password must have {SHORTEST} to {LONGEST} characters", code="bad_password"
        )
    return unicodedata.normalize("NFC", password)


async def hash_of(password: str) -> str:
    """The text to store for ``password``."""
    loop = asyncio.get_running_loop()
    return str(await loop.run_in_executor(_pool, _hasher.hash, acceptable(password)))


async def matches(password: str, stored: str) -> bool:
    """Whether ``stored`` was made from ``password``. An empty ``stored`` never matches and takes
    as long as one that doesn't, so that timing tells nobody which names exist.
    """
    loop = asyncio.get_running_loop()
    form = unicodedata.normalize("NFC", password)
    return await loop.run_in_executor(_pool, _matches, form, stored)


def _matches(password: str, stored: str) -> bool:
    if not stored:
        _hasher.hash(password)
        return False
    try:
        return bool(_hasher.verify(stored, password))
    except (VerificationError, InvalidHash):
        return False
