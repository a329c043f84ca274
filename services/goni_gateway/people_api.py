"""The household's people under ``/api``: the owner invites, resets and removes; everybody sees who
signed in as them and changes their own password.

All of it is for signed-in people only: a key that leaked can't add people or take an account over.
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.contract import plain
from goni_core.errors import Forbidden
from goni_core.http import ANSWER_TIMEOUT
from goni_gateway import (
    bodies,
    callers,
    gateway,
    invitations,
    passwords,
    people,
    sessions,
    sign_ins,
)

log = logging.getLogger(__name__)


async def list_people(request: Request) -> Response:
    await callers.signed_in_owner(request)
    database = gateway.of(request).database
    found, open_ones = await database.do(people.listed), await database.do(invitations.listed)
    return JSONResponse(
        {
            "people": [plain(entry) for entry in found],
            "invitations": [plain(invitation) for invitation in open_ones],
        }
    )


async def invite(request: Request) -> Response:
    await callers.signed_in_owner(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"name", "role"})
    name, role = people.display_name(body, "name"), people.role_from(body)
    made, code = await gateway.of(request).database.do(invitations.invite, name, role)
    return JSONResponse({**plain(made), "code": code}, status_code=201)


async def reset(request: Request) -> Response:
    await callers.signed_in_owner(request)
    made, code = await gateway.of(request).database.do(
        invitations.renew, request.path_params["person"]
    )
    return JSONResponse({**plain(made), "code": code}, status_code=201)


async def withdraw(request: Request) -> Response:
    await callers.signed_in_owner(request)
    await gateway.of(request).database.do(invitations.withdraw, request.path_params["invitation"])
    return JSONResponse({"withdrawn": True})


async def remove(request: Request) -> Response:
    """Remove a person with their chats, keys and documents. They are locked out first: when the
    documents can't be deleted now, the owner sees that and removes them again later.
    """
    owner = await callers.signed_in_owner(request)
    name = await bodies.text_of(request, "name", longest=people.LONGEST_NAME)
    gate, person_id = gateway.of(request), request.path_params["person"]
    await gate.database.do(people.lock_out, owner, person_id, name)
    said = await gate.rag.call("DELETE", f"/owners/{person_id}", timeout=ANSWER_TIMEOUT)
    documents = fields.integer(said, "documents", least=0, most=1 << 40)
    await gate.database.do(people.remove, person_id)
    log.info("person %s was removed", person_id)
    return JSONResponse({"removed": True, "documents": documents})


async def their_sign_ins(request: Request) -> Response:
    await callers.signed_in_owner(request)
    return await _sign_ins(request, request.path_params["person"])


async def own_sign_ins(request: Request) -> Response:
    return await _sign_ins(request, (await callers.signed_in(request)).id)


async def _sign_ins(request: Request, person_id: str) -> Response:
    database = gateway.of(request).database
    await database.do(people.with_id, person_id)
    found = await database.do(sign_ins.listed, person_id)
    return JSONResponse({"sign_ins": [plain(entry) for entry in found]})


async def change_password(request: Request) -> Response:
    """A new password for oneself; it ends one's other sessions."""
    person, gate = await callers.signed_in(request), gateway.of(request)
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"old", "new"})
    old = fields.text(body, "old", longest=passwords.LONGEST)
    new = fields.text(body, "new", longest=passwords.LONGEST)
    account, address = people.key_of(person.name), callers.address(request)
    gate.throttle.attempt(account, address)
    found = await gate.database.do(people.named, person.name)
    if not await passwords.matches(old, found[1] if found else ""):
        raise Forbidden("the old password is wrong", code="wrong_password")
    gate.throttle.succeeded(account, address)
    stored = await passwords.hash_of(new)
    if person.is_owner:
        await gate.household.change_password(old, new)
    await gate.database.do(people.set_password, person, stored)
    await gate.database.do(sessions.end_all, person)
    token = await gate.database.do(sessions.start, person)
    response = JSONResponse({"changed": True})
    sessions.set_cookie(response, token)
    return response


async def show_invitation(request: Request) -> Response:
    """Whom an invitation is for. The code comes in the body: addresses end up in logs."""
    code = await bodies.text_of(request, "code", longest=100)
    found = await gateway.of(request).database.do(invitations.with_code, code)
    return JSONResponse({"name": found.name, "new": not found.person})


async def join(request: Request) -> Response:
    if callers.from_elsewhere(request.headers):
        raise Forbidden("that request comes from another site", code="cross_site")
    body = await bodies.read_json(request, limit=web.JSON_LIMIT)
    fields.only(body, {"code", "password"})
    code = fields.text(body, "code", longest=100)
    password = fields.text(body, "password", longest=passwords.LONGEST)
    database = gateway.of(request).database
    await database.do(invitations.with_code, code)  # before the hash, which takes a while
    person = await database.do(invitations.accept, code, await passwords.hash_of(password))
    await database.do(sign_ins.record, person.id, callers.address(request), succeeded=True)
    token = await database.do(sessions.start, person)
    log.info("person %s used an invitation", person.id)
    response = JSONResponse(plain(person), status_code=201)
    sessions.set_cookie(response, token)
    return response


ROUTES = [
    Route("/api/people", list_people, methods=["GET"]),
    Route("/api/people", invite, methods=["POST"]),
    Route("/api/people/{person}/reset", reset, methods=["POST"]),
    Route("/api/people/{person}/remove", remove, methods=["POST"]),
    Route("/api/people/{person}/sign-ins", their_sign_ins, methods=["GET"]),
    Route("/api/invitations/{invitation}", withdraw, methods=["DELETE"]),
    Route("/api/invitation", show_invitation, methods=["POST"]),
    Route("/api/join", join, methods=["POST"]),
    Route("/api/sign-ins", own_sign_ins, methods=["GET"]),
    Route("/api/password", change_password, methods=["POST"]),
]
