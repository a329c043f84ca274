"""The wizard's side of the household's service: names, and what it makes of an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import web
from goni_core.errors import GoniError
from goni_core.http import Service
from goni_core.serve import Listener, bind_unix, serving
from goni_firstboot import membership
from goni_firstboot.membership import Standing


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("attic", "attic"),
        ("Attic 1", "attic-1"),
        ("Küche", "k-che"),
        ("  --  ", "goni"),
        ("屋根裏", "goni"),
        ("a" * 80, "a" * 63),
        ("a" * 62 + " b", "a" * 62),
        ("x\n/../y", "x-y"),
    ],
)
def test_a_name_for_people_becomes_a_hosts(name: str, label: str) -> None:
    assert membership.label(name, "goni") == label


ALONE = {"state": "alone", "node": "0", "name": "", "household": "", "nodes": 0}
MEMBER = {**ALONE, "state": "member", "name": "attic", "household": "Home", "nodes": 2}


@pytest.mark.parametrize(
    ("said", "standing"),
    [
        (ALONE, Standing(joined=False, idle=True)),
        ({**ALONE, "offer": {"pin": "", "tries": 0}}, Standing(joined=False)),
        ({**ALONE, "offer": {"pin": "012345"}}, Standing(joined=False, pin="012345")),
        ({**ALONE, "words": "a b c"}, Standing(joined=False, words="a b c", idle=True)),
        (MEMBER, Standing(joined=True, household="Home", name="attic")),
        ({**MEMBER, "nodes": 1}, Standing(joined=False, household="Home", name="attic")),
        ({**MEMBER, "state": "removed"}, Standing(joined=False, household="Home", name="attic")),
    ],
)
def test_a_node_has_joined_when_others_are_there(
    mesh: tuple[Service, dict], said: dict, standing: Standing
) -> None:
    service, answer = mesh
    answer.clear()
    answer.update(said)
    assert asyncio.run(asked(service)) == standing


@pytest.mark.parametrize(
    "said", [{}, {"state": 7}, {**MEMBER, "nodes": "many"}, {**ALONE, "name": []}]
)
def test_what_is_no_status_is_an_error(mesh: tuple[Service, dict], said: dict) -> None:
    service, answer = mesh
    answer.clear()
    answer.update(said)
    with pytest.raises(GoniError):
        asyncio.run(asked(service))


async def asked(service: Service) -> Standing:
    fresh = Service(service.name, service.socket)
    try:
        return await membership.standing(fresh)
    finally:
        await fresh.close()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict]]:
    """A service that answers with whatever the dictionary holds."""
    path: Path = tmp_path_factory.mktemp("mesh") / "mesh.sock"
    answer: dict = {}

    async def status(request: Request) -> Response:
        return JSONResponse(answer)

    ready, ended = threading.Event(), threading.Event()

    async def run() -> None:
        app = web.application([Route("/status", status)])
        async with serving(Listener(app, bind_unix(path))):
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(60)
    yield Service("the household's service", path), answer
    ended.set()
    thread.join(60)
