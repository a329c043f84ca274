"""Catalog, downloads and uploads in pieces under ``/api``, for the owner alone (everybody may read
the catalog). What passes here goes straight to the engine.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import contract, fields, files, web
from goni_core.contract import Remote
from goni_core.errors import BadInput, NotFound, TooLarge
from goni_core.http import ANSWER_TIMEOUT
from goni_gateway import bodies, callers, gateway
from goni_gateway.gateway import Gateway
from goni_gateway.pace import SLOWEST

FASTEST = 10 << 30
KEY = re.compile(r"[0-9a-f]{1,32}")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FILE = re.compile(r"[A-Za-z0-9][\w.-]{0,180}\.gguf")
"""A file at the top of a repository on the hub, as the owner may name one."""


async def catalog(request: Request) -> Response:
    await callers.person(request)
    said = await gateway.of(request).engine.call("GET", "/catalog")
    return JSONResponse({"models": said.get("models", [])})


async def list_downloads(request: Request) -> Response:
    await callers.owner(request)
    downloads = gateway.of(request).downloads
    return JSONResponse(
        {"downloads": await downloads.listed(), "bytes_per_second": await downloads.rate()}
    )


async def start_download(request: Request) -> Response:
    await callers.owner(request)
    body = await bodies.read_json(request)
    gate = gateway.of(request)
    if "repo" in body:
        said = await gate.engine.call("GET", "/catalog")
        model, remote = _direct(body)
        key = (await gate.downloads.add(model, model, said["hub"], [remote])).id
    else:
        fields.only(body, {"model"})
        key = await start(gate, fields.text(body, "model", longest=100))
    return JSONResponse({"id": key}, status_code=201)


async def start(gate: Gateway, model: str) -> str:
    """Put the catalog's ``model`` into the queue; the download's id."""
    said = await gate.engine.call("GET", "/catalog")
    offer = _offer(said.get("models", []), model)
    remotes = [Remote(**file) for file in offer["files"]]
    return (await gate.downloads.add(offer["id"], offer["title"], said["hub"], remotes)).id


def _offer(offers: list[dict[str, object]], model: str) -> fields.Object:
    for offer in offers:
        if offer["id"] == model:
            if not offer["usable"]:
                raise BadInput(str(offer["words"]), code="unsupported_model")
            return offer
    raise NotFound("the catalog has no such model", code="model_not_found")


def _direct(body: fields.Object) -> tuple[str, Remote]:
    """A file that the owner names; its size and hash are what the hub says."""
    fields.only(body, {"repo", "file"})
    repo, file = fields.text(body, "repo", longest=200), fields.text(body, "file", longest=200)
    if not _REPO.fullmatch(repo) or not _FILE.fullmatch(file):
        raise BadInput("name it like owner/repository and model.gguf", code="bad_name")
    return file.removesuffix(".gguf"), Remote(f"/{repo}/resolve/main/{file}", file, 0, "")


async def pause_download(request: Request) -> Response:
    await callers.owner(request)
    await gateway.of(request).downloads.pause(key_of(request))
    return JSONResponse({"paused": True})


async def resume_download(request: Request) -> Response:
    await callers.owner(request)
    await gateway.of(request).downloads.resume(key_of(request))
    return JSONResponse({"resumed": True})


async def remove_download(request: Request) -> Response:
    await callers.owner(request)
    await gateway.of(request).downloads.remove(key_of(request))
    return JSONResponse({"deleted": True})


async def limit_downloads(request: Request) -> Response:
    await callers.owner(request)
    body = await bodies.read_json(request)
    fields.only(body, {"bytes_per_second"})
    value = fields.integer(body, "bytes_per_second", least=0, most=FASTEST)
    if 0 < value < SLOWEST:
        raise BadInput(f"bytes_per_second must be 0 for no limit, or {SLOWEST} and more")
    await gateway.of(request).downloads.set_rate(value)
    return JSONResponse({"bytes_per_second": value})


async def list_uploads(request: Request) -> Response:
    await callers.owner(request)
    return JSONResponse(await gateway.of(request).engine.call("GET", "/incoming"))


async def begin_upload(request: Request) -> Response:
    await callers.owner(request)
    body = await bodies.read_json(request)
    files.safe_name(fields.text(body, "name", longest=240))
    return JSONResponse(
        await gateway.of(request).engine.call("POST", "/incoming", json=dict(body)),
        status_code=201,
    )


async def one_upload(request: Request) -> Response:
    await callers.owner(request)
    return JSONResponse(
        await gateway.of(request).engine.call("GET", f"/incoming/{key_of(request)}")
    )


async def continue_upload(request: Request) -> Response:
    await callers.owner(request)
    size = web.content_length(request.headers)
    if size is None:
        raise BadInput("the upload doesn't say how long it is", hint="send Content-Length")
    if size > contract.MODEL_LIMIT:
        raise TooLarge(f"larger than the limit of {contract.MODEL_LIMIT >> 20} MiB")
    offset = request.headers.get("upload-offset", "")[:20]
    said = await gateway.of(request).engine.call(
        "PATCH",
        f"/incoming/{key_of(request)}",
        content=bodies.upload(request),
        headers={"content-length": str(size), "upload-offset": offset},
        timeout=ANSWER_TIMEOUT,
    )
    return JSONResponse(said)


async def discard_upload(request: Request) -> Response:
    await callers.owner(request)
    await gateway.of(request).engine.call("DELETE", f"/incoming/{key_of(request)}")
    return JSONResponse({"deleted": True})


def key_of(request: Request) -> str:
    """The id in the path; :class:`NotFound` unless it looks like one."""
    key = str(request.path_params["key"])
    if not KEY.fullmatch(key):
        raise NotFound("there is nothing of that name")
    return key


ROUTES = [
    Route("/api/catalog", catalog, methods=["GET"]),
    Route("/api/downloads", list_downloads, methods=["GET"]),
    Route("/api/downloads", start_download, methods=["POST"]),
    Route("/api/downloads/limit", limit_downloads, methods=["PUT"]),
    Route("/api/downloads/{key}", remove_download, methods=["DELETE"]),
    Route("/api/downloads/{key}/pause", pause_download, methods=["POST"]),
    Route("/api/downloads/{key}/resume", resume_download, methods=["POST"]),
    Route("/api/incoming", list_uploads, methods=["GET"]),
    Route("/api/incoming", begin_upload, methods=["POST"]),
    Route("/api/incoming/{key}", one_upload, methods=["GET"]),
    Route("/api/incoming/{key}", continue_upload, methods=["PATCH"]),
    Route("/api/incoming/{key}", discard_upload, methods=["DELETE"]),
]
