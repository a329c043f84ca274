"""A model to chat with: from the catalog, from a stick, from this browser, or later.

Downloads are the gateway's and imports the engine's: both go on by themselves, over the end of the
setup and over power cuts, so nobody has to wait here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from goni_core import fields
from goni_core.errors import GoniError
from goni_core.http import Service
from goni_firstboot import upload
from goni_firstboot.answers import LONGEST
from goni_firstboot.step import Again, Extra, Form, Outcome, Step, Values, Visit

SHOWN = 5
"""Offers on the page; the models page has them all."""
MOST = 1000
"""Entries at most that are read of a service's list."""


class Model(Step):
    name = "model"
    skippable = True

    def __init__(self, gateway: Service, engine: Service) -> None:
        self._gateway = gateway
        self._engine = engine

    async def show(self, visit: Visit) -> Values:
        return {
            "offers": suited(await self._list(self._engine, "/catalog", "models")),
            "files": on_sticks(await self._list(self._engine, "/sticks", "sticks")),
            "here": await self._here(),
            "coming": await self._coming(),
        }

    async def take(self, visit: Visit, form: Form) -> Outcome:
        source, _, rest = form.get("model", "").partition(":")
        if source == "catalog":
            return replace(visit.answers, model=await self._download(rest))
        if source == "stick":
            stick, _, path = rest.partition(":")
            wanted = {"stick": stick, "path": path}
            said = await self._engine.call("POST", "/sticks/imports", json=wanted)
            return replace(visit.answers, model=fields.text(said, "name", longest=200))
        if here := await self._here():
            return replace(visit.answers, model=", ".join(here)[:LONGEST])
        if visit.answers.model or await self._coming():
            return visit.answers
        return Again({"model": "model_missing"})

    def extras(self) -> Mapping[str, Extra]:
        return {"progress": self.progress, "upload": self.receive}

    async def progress(self, visit: Visit, request: Request) -> Response:
        """What is on its way, for the script that moves the bars."""
        return JSONResponse({"coming": await self._coming()})

    async def receive(self, visit: Visit, request: Request) -> Response:
        """A model file from the browser, straight into the engine."""
        await upload.forward(request, self._engine)
        return RedirectResponse("/setup/model", status_code=303)

    async def _download(self, model: str) -> str:
        """Start it, unless it is on its way already; its title."""
        offers = await self._list(self._engine, "/catalog", "models")
        title = next((str(one["title"]) for one in offers if one["id"] == model), model)
        going = await self._list(self._gateway, "/downloads", "downloads")
        if not any(one["model"] == model and one["state"] != "failed" for one in going):
            await self._gateway.call("POST", "/downloads", json={"model": model})
        return title

    async def _here(self) -> list[str]:
        """The chat models that this node has."""
        models = await self._list(self._engine, "/v1/models", "data")
        return [str(one["id"]) for one in models if one.get("goni", {}).get("kind") == "chat"]

    async def _coming(self) -> list[dict[str, object]]:
        downloads = await self._list(self._gateway, "/downloads", "downloads")
        imports = await self._list(self._engine, "/sticks", "imports")
        named = [(one, "title", "done_bytes") for one in downloads]
        named += [(one, "name", "offset") for one in imports]
        return [coming(*one) for one in named if one[0]["state"] != "done"]

    async def _list(self, service: Service, path: str, name: str) -> list[fields.Object]:
        """A list of ``service``; empty when it doesn't answer: the page is there all the same."""
        try:
            return fields.objects(await service.call("GET", path), name, most=MOST)
        except GoniError:
            return []


def coming(entry: fields.Object, title: str, done: str) -> dict[str, object]:
    """A download or an import, as the page shows it: percent and state."""
    total, here = int(entry["bytes"]), int(entry[done])
    return {
        "title": str(entry[title]),
        "percent": min(100, 100 * here // total) if total else 0,
        "state": str(entry["state"]),
        "reason": str(entry["reason"]),
    }


def suited(offers: list[fields.Object]) -> list[fields.Object]:
    """The offers to chat with that this node has the memory for, best first."""
    chats = [one for one in offers if one["kind"] == "chat" and one["usable"] and one["fits"]]
    return chats[:SHOWN]


def on_sticks(sticks: list[fields.Object]) -> list[dict[str, object]]:
    """The model files on the sticks that are plugged in."""
    return [
        {"value": f"stick:{stick['id']}:{file['path']}", "stick": stick["label"], **file}
        for stick in sticks
        for file in stick["files"]
        if not file["reason"]
    ]
