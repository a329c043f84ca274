"""Pairing codes under attack: what is tried beyond the allowed tries never succeeds."""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from goni_core.errors import BadInput, Conflict, Forbidden, NotFound, TooMany
from goni_core.words import WORDS
from goni_mesh import authority, door, keys, pairing_api, secret
from goni_mesh.door import Door
from goni_mesh.household import Household
from goni_mesh.keys import PrivateKey
from goni_mesh.pairing import Pairing
from goni_mesh.pake import Exchange

ATTACKS = 10_000


class Clock:
    """The machine's running time, as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def talk(client_code: str, server_code: str):
    client, server = Exchange(client_code, client=True), Exchange(server_code, client=False)
    return client.answered(server.message), server.answered(client.message)


def test_the_same_code_makes_one_conversation_and_the_same_words() -> None:
    client, server = talk("123456", "123456")
    assert server.open(client.seal({"a": 1}), 1000) == {"a": 1}
    assert client.open(server.seal({"b": 2}), 1000) == {"b": 2}
    assert client.words == server.words
    assert len(client.words.split()) == 3


def test_another_code_opens_nothing() -> None:
    client, server = talk("123456", "123457")
    with pytest.raises(Forbidden):
        server.open(client.seal({}), 1000)
    assert client.words != server.words


def test_messages_can_not_be_replayed_turned_round_or_reordered() -> None:
    client, server = talk("123456", "123456")
    first, second = client.seal({"n": 1}), client.seal({"n": 2})
    with pytest.raises(Forbidden):
        client.open(first, 1000)
    with pytest.raises(Forbidden):
        server.open(second, 1000)
    server.open(first, 1000)
    with pytest.raises(Forbidden):
        server.open(first, 1000)
    assert server.open(second, 1000) == {"n": 2}


def test_a_man_in_the_middle_is_left_without_a_key() -> None:
    client, server = Exchange("123456", client=True), Exchange("123456", client=False)
    middle = Exchange("000000", client=False), Exchange("000000", client=True)
    to_client, to_server = client.answered(middle[0].message), server.answered(middle[1].message)
    relayed = to_client.seal({"secret": 1})
    with pytest.raises(Forbidden):
        to_server.open(relayed, 1000)
    with pytest.raises(Forbidden):
        middle[0].answered(client.message).open(relayed, 1000)


@pytest.mark.parametrize(
    "raw",
    [b"", b"B", b"B" + bytes(31), b"B" + bytes(32), b"B" + b"\xff" * 32, b"B\x01" + bytes(31)],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        Exchange("123456", client=True).answered(base64.b64encode(raw).decode())


def test_a_reflected_message_is_refused() -> None:
    exchange = Exchange("123456", client=True)
    with pytest.raises(BadInput):
        exchange.answered(exchange.message)
    turned = b"B" + base64.b64decode(exchange.message)[1:]
    with pytest.raises(BadInput):
        exchange = Exchange("123456", client=True)
        turned = b"B" + base64.b64decode(exchange.message)[1:]
        exchange.answered(base64.b64encode(turned).decode())


def test_each_wrong_try_doubles_the_wait_and_the_last_one_locks() -> None:
    clock = Clock()
    held = Door("123456", 600, clock=clock)
    waits = []
    for left in range(door.TRIES, 0, -1):
        assert held.tries == left
        held.hello("", Exchange("000000", client=True).message)
        held.fail()
        if held.tries:
            with pytest.raises(TooMany) as early:
                held.hello("", Exchange("123456", client=True).message)
            waits.append(early.value.retry_after)
        clock.now += 40
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]
    assert not held.open
    with pytest.raises(NotFound):
        held.hello("", Exchange("123456", client=True).message)


def test_a_hello_that_is_dropped_costs_a_try_too() -> None:
    """Or an attacker could take the node's message and come back as often as he likes."""
    clock = Clock()
    held = Door("123456", 600, clock=clock)
    for _ in range(door.TRIES):
        held.hello("", Exchange("000000", client=True).message)
        clock.now += 100
    assert held.tries == 0
    assert not Door("123456", 0, clock=clock).open


def test_a_door_shuts_after_its_time_and_after_its_use() -> None:
    clock = Clock()
    held = Door("123456", 600, clock=clock)
    exchange = Exchange("123456", client=True)
    name, message = held.hello("", exchange.message)
    session = held.session(name, proved=False)
    session.conversation.open(exchange.answered(message).seal({}), 1000)
    held.prove(session)
    with pytest.raises(Conflict):
        held.hello("", Exchange("123456", client=True).message)
    with pytest.raises(Conflict):
        held.session(name, proved=False)
    clock.now += 100
    with pytest.raises(NotFound):
        held.session(name, proved=True)
    with pytest.raises(NotFound):
        held.hello("", Exchange("123456", client=True).message)
    old = Door("123456", 600, clock=clock)
    clock.now += 601
    with pytest.raises(NotFound):
        old.hello("", Exchange("123456", client=True).message)


def test_an_invitation_is_not_used_up_by_who_does_not_know_its_name() -> None:
    title, code = door.invitation()
    held = Door(code, 600, name=title)
    for other in ("", "AAAA", title.lower()):
        with pytest.raises(NotFound):
            held.hello(other, Exchange(code, client=True).message)
    assert held.tries == door.TRIES
    assert door.read(door.written(title, code).lower()) == (title, code)
    with pytest.raises(NotFound):
        door.read("ABCD-EFGH")


class Attacked:
    """A new node that shows a PIN, and an attacker who may do what he likes with its port."""

    def __init__(self, folder: Path) -> None:
        self.household = Household(folder)
        self.pairing = Pairing(self.household, 7475)
        self.clock = Clock()
        app = pairing_api.application(self.pairing)
        transport = httpx.ASGITransport(app=app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://new")
        self.offers = 0

    def offer(self) -> None:
        """The person at the node asks for a new PIN."""
        self.pairing.take_back()
        self.pairing.door = Door(door.pin(), 600, clock=self.clock)
        self.offers += 1

    async def attack(self, guess: str) -> bool:
        """One attempt with one guess; whether it got anything that only a PIN gets."""
        exchange = Exchange(guess, client=True)
        hello = {"name": "", "message": exchange.message}
        answer = await self.http.post("/pair/hello", json=hello)
        if answer.status_code != 200:
            return False
        said = answer.json()
        talk = exchange.answered(said["message"])
        kind = random.randrange(4)
        if kind == 3:
            return False  # took the message and went away
        sealed = talk.seal({}) if kind else base64.b64encode(os.urandom(60)).decode()
        proof = {"session": said["session"], "sealed": sealed}
        path = "/pair/finish" if kind == 2 else "/pair/proof"
        answer = await self.http.post(path, json=proof)
        return answer.status_code == 200


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    made = Attacked(tmp_path / "new")
    yield made
    made.household.close()


def test_of_ten_thousand_attacks_none_succeeds_beyond_the_allowed_tries(
    attacked: Attacked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacker even learns the PIN as soon as its tries are used up or its wait has begun, and
    goes on with it: allowed tries are guesses (one in a million each), everything after them is
    hopeless, whatever he knows.
    """
    # The attacker's own exchange needn't be new for what is refused before it is looked at.
    heard = counted(monkeypatch)

    async def attack() -> list[str]:
        successes = []
        message = Exchange("000000", client=True).message
        for attempt in range(ATTACKS):
            if attempt % 250 == 0:
                attacked.offer()
            held = attacked.pairing.door
            assert held is not None
            if attempt % 25 == 0:
                attacked.clock.now += 2.0
            waits = attacked.clock.now < held._next
            if held.tries > 0 and not waits:
                wrong = f"{(int(held.code) + random.randrange(1, 10**6)) % 10**6:06}"
                if await attacked.attack(wrong):
                    successes.append("with a wrong PIN")
            elif attempt % 50:
                answer = await attacked.http.post(
                    "/pair/hello", json={"name": "", "message": message}
                )
                if answer.status_code == 200:
                    successes.append("heard beyond the tries")
            elif await attacked.attack(held.code):
                successes.append("with the PIN, beyond the tries")
        return successes

    assert asyncio.run(attack()) == []
    assert attacked.household.state == "alone"
    assert attacked.offers == ATTACKS // 250
    assert attacked.offers < heard["times"] <= attacked.offers * door.TRIES


def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the node itself took part in an exchange."""
    count = {"times": 0}

    class Counted(Exchange):
        def __init__(self, code: str, *, client: bool) -> None:
            count["times"] += not client
            super().__init__(code, client=client)

    monkeypatch.setattr(door, "Exchange", Counted)
    return count


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pair/hello", {}),
        ("/pair/hello", {"name": "", "message": "x"}),
        ("/pair/hello", {"name": "", "message": "A" * 100}),
        ("/pair/hello", {"name": "x" * 11, "message": "A"}),
        ("/pair/proof", {"session": "", "sealed": ""}),
        ("/pair/proof", {"session": "0" * 32, "sealed": "x"}),
        ("/pair/finish", {"session": "0" * 32, "sealed": "x"}),
        ("/pair/finish", {"session": "0" * 32, "sealed": "x", "more": 1}),
    ],
)
def test_nonsense_is_refused_before_and_during_an_offer(
    attacked: Attacked, path: str, body: dict
) -> None:
    async def post() -> int:
        return (await attacked.http.post(path, json=body)).status_code

    assert 400 <= asyncio.run(post()) < 500
    attacked.offer()
    assert 400 <= asyncio.run(post()) < 500


def test_the_node_that_knows_the_pin_may_still_not_hand_over_a_forged_roster(
    attacked: Attacked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "WORK", 1 << 10)
    attacked.offer()
    held = attacked.pairing.door
    assert held is not None

    async def attempt() -> int:
        exchange = Exchange(held.code, client=True)
        hello = {"name": "", "message": exchange.message}
        said = (await attacked.http.post("/pair/hello", json=hello)).json()
        talk = exchange.answered(said["message"])
        proof = {"session": said["session"], "sealed": talk.seal({})}
        shown = (await attacked.http.post("/pair/proof", json=proof)).json()
        asked = talk.open(shown["sealed"], 100_000)
        assert authority.requested(asked["request"]) == attacked.household.node.public
        other = Household(tmp_path / "other")
        await other.found("Home", "other", "correct horse")
        roster = other.joined().plain()  # which doesn't admit the new node
        other.close()
        last = talk.seal({"roster": roster, "node": "0" * 64, "port": 7475})
        finish = {"session": said["session"], "sealed": last}
        return (await attacked.http.post("/pair/finish", json=finish)).status_code

    assert asyncio.run(attempt()) == 400
    assert attacked.household.state == "alone"


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    one, other = (PrivateKey.from_seed(bytes([number]) * 48) for number in (1, 2))
    good = authority.request(one)
    assert authority.requested(good) == one.public
    signed = base64.b64decode("".join(good.splitlines()[1:-1]))
    mine, theirs = (keys.public_der(node.raw.public_key()) for node in (one, other))
    forged = base64.b64encode(signed.replace(mine, theirs)).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{forged}\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(BadInput, match="signed by its own key"):
        authority.requested(pem)


def test_there_is_a_word_for_each_byte() -> None:
    assert len(set(WORDS)) == 256
    assert all(word.isascii() and word.islower() for word in WORDS)
