"""What the person typed: parsed from a form's body and judged, without touching anything.

Each fault belongs to one field and is the key of a text; values are kept for showing the form
again, except for passwords, which never go back to the browser.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from goni_core.errors import BadInput

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""RFC 1123, section 2.1."""
OWNER_LONGEST = 60
PASSWORD_LEAST = 8
PASSWORD_LONGEST = 200


@dataclass(frozen=True)
class Answers:
    """A filled-in setup form. ``faults``: field name to the fault's text key."""

    node_name: str
    owner_name: str = ""
    password: str = field(default="", repr=False)
    faults: Mapping[str, str] = field(default_factory=dict)


def decode(body: bytes) -> dict[str, str]:
    """The fields of an ``application/x-www-form-urlencoded`` body; the last one of a name counts.

    Raises :class:`BadInput` for anything else.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
        )
    except ValueError as error:
        raise BadInput("the form can't be read", code="bad_form") from error
    return dict(pairs)


def answers(fields: Mapping[str, str]) -> Answers:
    """The setup form's answers, with a fault for each field that can't be taken."""
    node_name = fields.get("node_name", "").strip().lower()
    owner_name = " ".join(unicodedata.normalize("NFC", fields.get("owner_name", "")).split())
    password = fields.get("password", "")
    found = {
        "node_name": node_fault(node_name),
        "owner_name": owner_fault(owner_name),
        "password": password_fault(password),
        "password_again": again_fault(password, fields.get("password_again", "")),
    }
    faults = {name: fault for name, fault in found.items() if fault}
    return Answers(node_name, owner_name, password, faults)


def is_label(name: str) -> bool:
    """Whether ``name`` can be a host's name."""
    return bool(LABEL.fullmatch(name))


def node_fault(name: str) -> str:
    if not name:
        return "node_name_missing"
    return "" if is_label(name) else "node_name_bad"


def owner_fault(name: str) -> str:
    if not name:
        return "owner_name_missing"
    if len(name) > OWNER_LONGEST:
        return "owner_name_long"
    return "owner_name_bad" if _unprintable(name) else ""


def password_fault(password: str) -> str:
    if not password:
        return "password_missing"
    if len(password) < PASSWORD_LEAST:
        return "password_short"
    if len(password) > PASSWORD_LONGEST:
        return "password_long"
    return "password_bad" if _unprintable(password) else ""


def again_fault(password: str, again: str) -> str:
    if not again:
        return "password_again_missing" if password else ""
    return "" if password == again else "password_again_differs"


def _unprintable(text: str) -> bool:
    """Control, format and unassigned characters: nobody types them on purpose."""
    return any(unicodedata.category(character)[0] == "C" for character in text)
