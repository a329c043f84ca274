"""What the wizard asks of the household's service: begin a household, wait to be let into one, join
one by a code. The contract is mesh.sock's; nothing else here knows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from goni_core import fields
from goni_core.errors import GoniError
from goni_core.http import Service, Timeout

PATIENCE = Timeout(120.0)
MOST = 1000


@dataclass(frozen=True)
class Standing:
    """This node as the household's service sees it. ``joined``: it belongs to a household that has
    other nodes; ``name`` is what they call it, ``words`` are to be compared with theirs, ``pin`` is
    what lets an owner take it in, empty while that is not possible; ``idle``: it belongs to nobody
    and waits for nobody.
    """

    joined: bool
    household: str = ""
    name: str = ""
    words: str = ""
    pin: str = ""
    idle: bool = False


async def standing(mesh: Service) -> Standing:
    """How it is now."""
    said = await mesh.call("GET", "/status")
    state, offer = fields.text(said, "state"), said.get("offer")
    return Standing(
        joined=state == "member" and fields.integer(said, "nodes", least=0, most=MOST) > 1,
        household=fields.text(said, "household", default=""),
        name=fields.text(said, "name", default=""),
        words=fields.text(said, "words", default=""),
        pin=fields.text(offer, "pin", default="") if isinstance(offer, dict) else "",
        idle=state == "alone" and offer is None,
    )


async def offer(mesh: Service, pin: str = "") -> None:
    """Wait for an owner who types ``pin``, or a new PIN, on a node of a household."""
    await mesh.call("POST", "/offer", json={"pin": pin} if pin else {})


async def begin(mesh: Service, household: str, node: str, password: str) -> str:
    """Begin a household with this node; the recovery code, which is said this once. One that was
    begun before and has no other node gives way: its code may have been lost.
    """
    said = await mesh.call("GET", "/status")
    if fields.text(said, "state") != "alone":
        await mesh.call("POST", "/leave", json={})
    body = {"name": household, "node_name": node, "password": password}
    begun = await mesh.call("POST", "/household", json=body, timeout=PATIENCE)
    return fields.text(begun, "recovery", longest=100)


async def join(mesh: Service, address: str, code: str) -> None:
    """Join by a code that a node of the household has made: its letters or its PIN."""
    body = {"address": address, "code": code}
    await mesh.call("POST", "/join", json=body, timeout=PATIENCE)


async def inviting(mesh: Service) -> list[str]:
    """The addresses of nodes nearby that have such a code out, as far as anybody can tell."""
    try:
        near = fields.objects(await mesh.call("GET", "/nearby"), "nodes", most=MOST)
    except GoniError:
        return []
    found = []
    for one in near:
        addresses = one.get("addresses")
        if one.get("state") == "inviting" and isinstance(addresses, list) and addresses:
            host = f"[{addresses[0]}]" if ":" in str(addresses[0]) else str(addresses[0])
            found.append(f"{host}:{one.get('pairing_port')}")
    return sorted(found)


def label(name: str, otherwise: str) -> str:
    """A host's name (RFC 1123) that is like ``name``; ``otherwise`` when nothing of it is left."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    return plain or otherwise
