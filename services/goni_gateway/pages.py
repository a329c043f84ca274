"""The web pages: a rendered frame each, filled by one small script through ``/api``.

Nothing personal is in an address or in the frame beyond the person's own name; whoever isn't
signed in gets the sign-in page.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from goni_gateway import callers, gateway, passwords, people

HERE = Path(__file__).parent

_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
)


async def chat(request: Request) -> Response:
    return await _page(request, "chat")


async def documents(request: Request) -> Response:
    return await _page(request, "documents")


async def models(request: Request) -> Response:
    return await _page(request, "models")


async def keys(request: Request) -> Response:
    return await _page(request, "keys")


async def household(request: Request) -> Response:
    return await _page(request, "people")


async def updates(request: Request) -> Response:
    return await _page(request, "updates")


async def nodes(request: Request) -> Response:
    return await _page(request, "nodes")


async def join(request: Request) -> Response:
    """The code is behind the address's #, which browsers keep to themselves."""
    node = await gateway.of(request).database.do(people.node_of)
    return _rendered("join", node_name=node.name, longest=passwords.LONGEST)


async def sign_in(request: Request) -> Response:
    if await callers.visitor(request):
        return RedirectResponse("/", status_code=303)
    node = await gateway.of(request).database.do(people.node_of)
    return _rendered("sign-in", node_name=node.name, longest=passwords.LONGEST)


async def _page(request: Request, name: str) -> Response:
    person = await callers.visitor(request)
    if person is None:
        return RedirectResponse("/sign-in", status_code=303)
    node = await gateway.of(request).database.do(people.node_of)
    host = request.headers.get("host", "")
    return _rendered(name, node_name=node.name, person=person, page=name, host=host)


def _rendered(name: str, **values: object) -> Response:
    return HTMLResponse(_templates.get_template(f"{name}.html").render(**values))


class _Static(StaticFiles):
    """Files that browsers ask again for each time (by ETag), so that an update shows at once."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]  # passed on
        response.headers["cache-control"] = "no-cache"
        return response


ROUTES = [
    Route("/", chat, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["GET"]),
    Route("/documents", documents, methods=["GET"]),
    Route("/models", models, methods=["GET"]),
    Route("/keys", keys, methods=["GET"]),
    Route("/people", household, methods=["GET"]),
    Route("/updates", updates, methods=["GET"]),
    Route("/nodes", nodes, methods=["GET"]),
    Route("/join", join, methods=["GET"]),
    Mount("/static", _Static(directory=HERE / "static")),
]
