"""Models and documents under ``/api``: uploads go straight through to the service that keeps them,
nothing is stored on the way.

Models are the node's, so only the owner changes them; documents are the person's own.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import contract, files, web
from goni_core.errors import BadInput, TooLarge
from goni_core.http import ANSWER_TIMEOUT, Service
from goni_gateway import bodies, callers, gateway


async def list_models(request: Request) -> Response:
    await callers.person(request)
    entries = await gateway.of(request).models.listed()
    return JSONResponse({"models": [entry["goni"] for entry in entries if "goni" in entry]})


async def add_model(request: Request) -> Response:
    await callers.owner(request)
    path = f"/models/{_name(request)}"
    return await _upload(request, gateway.of(request).engine, path, {}, contract.MODEL_LIMIT)


async def remove_model(request: Request) -> Response:
    await callers.owner(request)
    await gateway.of(request).engine.call("DELETE", f"/models/{_name(request)}")
    return JSONResponse({"deleted": True})


async def list_documents(request: Request) -> Response:
    person = await callers.person(request)
    rag = gateway.of(request).rag
    return JSONResponse(await rag.call("GET", "/documents", params={"owner": person.id}))


async def add_document(request: Request) -> Response:
    person = await callers.person(request)
    path, params = f"/documents/{_name(request)}", {"owner": person.id}
    rag = gateway.of(request).rag
    return await _upload(request, rag, path, params, contract.DOCUMENT_LIMIT)


async def remove_document(request: Request) -> Response:
    person = await callers.person(request)
    await gateway.of(request).rag.call(
        "DELETE", f"/documents/{_name(request)}", params={"owner": person.id}
    )
    return JSONResponse({"deleted": True})


def _name(request: Request) -> str:
    """The name in the path, safe as one path segment again."""
    return quote(files.safe_name(request.path_params["name"]), safe="")


async def _upload(
    request: Request, service: Service, path: str, params: dict[str, str], limit: int
) -> Response:
    size = web.content_length(request.headers)
    if size is None:
        raise BadInput("the upload doesn't say how long it is", hint="send Content-Length")
    if size > limit:
        raise TooLarge(f"larger than the limit of {limit >> 20} MiB")
    said = await service.call(
        "PUT",
        path,
        params=params,
        content=bodies.upload(request),
        headers={"content-length": str(size)},
        timeout=ANSWER_TIMEOUT,
    )
    return JSONResponse(said, status_code=201)


ROUTES = [
    Route("/api/models", list_models, methods=["GET"]),
    Route("/api/models/{name:path}", add_model, methods=["PUT"]),
    Route("/api/models/{name:path}", remove_model, methods=["DELETE"]),
    Route("/api/documents", list_documents, methods=["GET"]),
    Route("/api/documents/{name:path}", add_document, methods=["PUT"]),
    Route("/api/documents/{name:path}", remove_document, methods=["DELETE"]),
]
