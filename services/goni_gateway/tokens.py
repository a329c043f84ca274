"""Secrets that this service makes up: session cookies, API keys, ids.

A token has 256 random bits, so a plain SHA-256 is enough to keep it by: nobody can guess what
hashes to it. Only the hash is ever stored.
"""

from __future__ import annotations

import hashlib
import secrets


def new(prefix: str = "") -> str:
    """A fresh secret, safe in a header or a cookie."""
    return prefix + secrets.token_urlsafe(32)


def hashed(token: str) -> bytes:
    """What is stored instead of ``token``."""
    return hashlib.sha256(token.encode("utf-8", errors="replace")).digest()


def new_id() -> str:
    """A random id in lower-case hex: says nothing about whom or what it names."""
    return secrets.token_hex(8)
