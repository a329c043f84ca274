"""The description of this node's own API, for the people of the household: ``/openapi.json``.

Made from the routes that are served: paths, methods, parameters, and the words from the handlers'
names and docstrings. Only what a body may hold is written here, by the handler's name; a test
keeps the two in step. https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from goni_gateway import callers, nodes_api, passwords, people, pictures

Schema = dict[str, Any]
DESCRIBED = ("/v1/", "/api/", "/metrics")
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")


def _text(longest: int = 1000) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _object(required: Iterable[str], more: bool = False, **properties: Schema) -> Schema:
    """A JSON object; ``more``: other fields are passed on."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": more,
    }


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_NAME, _PASSWORD = _text(people.LONGEST_NAME), _text(passwords.LONGEST)
_NODE = _text(nodes_api.LONGEST_NAME)
_MODEL = {**_text(200), "description": "An id that GET /v1/models lists"}
_SPACE: Schema = {"enum": ["private", "shared"]}
_FLAG: Schema = {"type": "boolean"}
_TOKENS = _maybe({"type": "integer", "minimum": 1, "maximum": 1 << 24})
_TEXTS: Schema = {"anyOf": [_text(), {"type": "array", "items": _text(), "minItems": 1}]}
_GONI = _maybe(_object((), documents=_FLAG, background=_FLAG))
_MESSAGES: Schema = {
    "type": "array",
    "items": _object(
        ("role",),
        more=True,
        role={"enum": ["system", "user", "assistant", "tool", "developer"]},
        content={"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array"}]},
    ),
}
_SAMPLING: dict[str, Schema] = {
    "model": _MODEL,
    "stream": _maybe(_FLAG),
    "temperature": _maybe({"type": "number", "minimum": 0, "maximum": 2}),
    "top_p": _maybe({"type": "number", "minimum": 0, "maximum": 1}),
    "goni": _GONI,
}
_RESPONSE = _object(
    ("model", "input"),
    more=True,
    input={"anyOf": [_text(), _MESSAGES]},
    instructions=_maybe({"type": "string"}),
    max_output_tokens=_TOKENS,
    tools={"type": "array", "items": {"type": "object"}},
    **_SAMPLING,
)

_HOUR: Schema = {"type": "integer", "minimum": 0, "maximum": 23}

BODIES: dict[str, Schema] = {
    "chat_completions": _object(
        ("model", "messages"), more=True, messages=_MESSAGES, max_tokens=_TOKENS, **_SAMPLING
    ),
    "completions": _object(
        ("model", "prompt"), more=True, prompt=_TEXTS, max_tokens=_TOKENS, **_SAMPLING
    ),
    "create_response": _RESPONSE,
    "embeddings": _object(("model", "input"), more=True, model=_MODEL, input=_TEXTS),
    "rerank": _object(
        ("model", "query", "documents"),
        more=True,
        model=_MODEL,
        query=_text(),
        documents={"type": "array", "items": _text()},
        top_n={"type": "integer", "minimum": 1},
    ),
    "sign_in": _object(("name", "password"), name=_NAME, password=_PASSWORD),
    "change_password": _object(("old", "new"), old=_PASSWORD, new=_PASSWORD),
    "create_key": _object(("name",), name=_NAME),
    "open_origin": _object(("origin",), origin=_text(300)),
    "close_origin": _object(("origin",), origin=_text(300)),
    "invite": _object(("name",), name=_NAME, role={"enum": list(people.ROLES)}),
    "remove": _object(("name",), name=_NAME),
    "show_invitation": _object(("code",), code=_text(100)),
    "join": _object(("code", "password"), code=_text(100), password=_PASSWORD),
    "begin_household": _object(
        ("name", "node_name", "password"), name=_NODE, node_name=_NODE, password=_PASSWORD
    ),
    "join_household": _object(("address", "code"), address=_text(260), code=_text(100)),
    "leave_household": _object(("name",), name=_NODE),
    "add_node": _object(
        ("address", "pin", "name", "password"),
        address=_text(260),
        pin=_text(20),
        name=_NODE,
        password=_PASSWORD,
    ),
    "invite_node": _object(("name", "password"), name=_NODE, password=_PASSWORD, short=_FLAG),
    "remove_node": _object(("name", "password"), name=_NODE, password=_PASSWORD),
    "start_download": {
        "anyOf": [
            _object(("model",), model=_text(100)),
            _object(("repo", "file"), repo=_text(200), file=_text(200)),
        ]
    },
    "limit_downloads": _object(
        ("bytes_per_second",), bytes_per_second={"type": "integer", "minimum": 0}
    ),
    "begin_upload": _object(
        ("name", "bytes"),
        name=_text(240),
        bytes={"type": "integer", "minimum": 1},
        sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"},
        tag=_text(200),
    ),
    "begin_import": _object(("stick", "path"), stick=_text(300), path=_text()),
    "install_update": _object((), version=_text(30), now={"type": "boolean"}),
    "roll_back": _object((), now={"type": "boolean"}),
    "change_updates": _object(
        (),
        channel={"type": "string", "enum": ["stable", "beta"]},
        paused={"type": "boolean"},
        quiet_from=_HOUR,
        quiet_until=_HOUR,
    ),
    "make_folder": _object(("path",), path=_text(2000), space=_SPACE),
    "move_document": _object(
        ("path", "to"), path=_text(2000), to=_text(2000), space=_SPACE, to_space=_SPACE
    ),
    "search_documents": _object(
        ("query",), query=_text(2000), k={"type": "integer", "minimum": 1, "maximum": 30}
    ),
    "send_message": _object(
        ("model", "content"),
        model=_MODEL,
        content=_text(100_000),
        documents=_FLAG,
        max_tokens=_TOKENS,
        pictures={
            "type": "array",
            "items": {"type": "string", "pattern": "^data:image/(png|jpeg|gif);base64,"},
            "maxItems": pictures.MOST,
        },
    ),
}
"""What the JSON body of each handler holds."""
BODILESS = frozenset(
    {
        *("sign_out", "create_chat", "reset", "pause_download", "resume_download"),
        *("look_for_updates", "restart_updated", "offer_node"),
    }
)
"""Handlers of POST that read no body."""
_ERROR = _object(
    ("error",),
    error=_object(
        ("message", "type", "code"),
        message={"type": "string"},
        type={"type": "string"},
        code={"type": "string"},
        param={"type": "null"},
        hint={"type": "string"},
    ),
)


def described(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, Route]]:
    """The method, path and route of everything that the description is about."""
    for route in routes:
        if isinstance(route, Route) and route.path.startswith(DESCRIBED):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method, _PARAMETER.sub(r"{\1}", route.path), route


def description(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document of ``routes``."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, route in described(routes):
        paths.setdefault(path, {})[method.lower()] = _operation(method, route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Goni", "version": "1"},
        "paths": paths,
        "security": [{"key": []}, {"session": []}],
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-goni"},
            },
        },
    }


def _operation(method: str, route: Route) -> dict[str, Any]:
    name = route.endpoint.__name__
    error = {"$ref": "#/components/schemas/Error"}
    operation: dict[str, Any] = {
        "operationId": f"{route.endpoint.__module__.rpartition('.')[2]}.{name}",
        "summary": (inspect.getdoc(route.endpoint) or name.replace("_", " ")).split("\n")[0],
        "parameters": [
            {"name": parameter, "in": "path", "required": True, "schema": _text(200)}
            for parameter in _PARAMETER.findall(route.path)
        ],
        "responses": {
            "2XX": {"description": "Done"},
            "4XX": {
                "description": "Refused, and why",
                "content": {"application/json": {"schema": error}},
            },
        },
    }
    if name in BODIES:
        content = {"application/json": {"schema": BODIES[name]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif method in ("PUT", "PATCH"):
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return operation


async def show(request: Request) -> Response:
    await callers.person(request)
    return JSONResponse(description(request.app.routes))


ROUTES = [Route("/openapi.json", show, methods=["GET"])]
