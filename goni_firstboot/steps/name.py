"""The node's name: a host's name in the house's network (RFC 1123), and of the node's page.

It becomes the hostname when the setup is finished: before, the browser that asks would lose the
address that it is at.
"""

from __future__ import annotations

from dataclasses import replace

from goni_core.preseed import LABEL
from goni_firstboot.step import Again, Form, Outcome, Step, Values, Visit

SUGGESTED = "goni"


class Name(Step):
    name = "name"

    async def show(self, visit: Visit) -> Values:
        return {"node_name": visit.answers.node_name or SUGGESTED}

    async def take(self, visit: Visit, form: Form) -> Outcome:
        name = form.get("node_name", "").strip().lower()
        if fault := node_fault(name):
            return Again({"node_name": fault}, {"node_name": form.get("node_name", "")})
        return replace(visit.answers, node_name=name)


def node_fault(name: str) -> str:
    """What is wrong with a node's name; empty when nothing is."""
    if not name:
        return "node_name_missing"
    return "" if LABEL.fullmatch(name) else "node_name_bad"
