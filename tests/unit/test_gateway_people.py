"""People, sessions, keys and kept chats over a real database file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_core.errors import BadInput, Conflict, Forbidden, GoniError, NotFound
from goni_gateway import chats, invitations, keys, people, sessions, sign_ins
from goni_gateway import database as database_module
from goni_gateway.chats import Entry
from goni_gateway.database import Database
from goni_gateway.people import Person


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "gateway.db")
    yield opened
    opened.close()


@pytest.fixture
def ada(database: Database) -> Person:
    return database.run(people.set_up, "Ada", "hash", "kitchen")


@pytest.fixture
def bob(database: Database) -> Person:
    return database.run(people.add, "Bob", "member", "hash")


def test_set_up_makes_the_owner_and_names_the_node(database: Database, ada: Person) -> None:
    assert ada.is_owner
    assert database.run(people.node_of) == people.Node(True, "kitchen")


def test_owner_may_be_named_again_until_the_node_is_set_up(database: Database) -> None:
    with pytest.raises(BadInput, match="nobody was named"):
        database.run(people.complete, "kitchen")
    database.run(people.name_owner, "Ada", "hash")
    assert not database.run(people.node_of).complete
    grace = database.run(people.name_owner, "Grace", "other")
    assert database.run(people.complete, "kitchen") == grace
    assert [entry.name for entry in database.run(people.listed)] == ["Grace"]
    with pytest.raises(Conflict):
        database.run(people.name_owner, "Eve", "hash")
    assert database.run(people.owner_of) == grace


def test_set_up_refuses_a_second_time_and_changes_nothing(database: Database, ada: Person) -> None:
    with pytest.raises(Conflict):
        database.run(people.set_up, "Eve", "hash", "mine")
    assert database.run(people.node_of).name == "kitchen"
    assert database.run(people.named, "Eve") is None


def test_a_name_is_taken_in_any_spelling(database: Database, ada: Person) -> None:
    with pytest.raises(Conflict):
        database.run(people.add, "ADA", "member", "hash")


def test_a_person_is_found_in_any_spelling(database: Database, ada: Person) -> None:
    found = database.run(people.named, " aDa ")
    assert found is not None
    assert found[0] == ada


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a" * 65, "\u202eevil", 7, None])
def test_a_name_that_cannot_be_shown_is_refused(name: object) -> None:
    with pytest.raises(BadInput):
        people.display_name({"name": name}, "name")


def test_a_session_ends_with_sign_out(database: Database, ada: Person) -> None:
    token = database.run(sessions.start, ada)
    assert database.run(sessions.person_of, token) == ada
    database.run(sessions.end, token)
    assert database.run(sessions.person_of, token) is None


def test_a_session_ends_after_its_lifetime(
    database: Database, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = database.run(sessions.start, ada)
    later = database_module.now() + sessions.LIFETIME_S
    monkeypatch.setattr(sessions, "now", lambda: later)
    assert database.run(sessions.person_of, token) is None


def test_secrets_are_not_in_the_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "gateway.db")
    ada = database.run(people.set_up, "Ada", "hash", "kitchen")
    token = database.run(sessions.start, ada)
    _, secret = database.run(keys.create, ada, "app")
    database.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"kitchen" in kept
    assert token.encode() not in kept
    assert secret.encode() not in kept


def test_a_key_opens_until_it_is_revoked(database: Database, ada: Person) -> None:
    key, secret = database.run(keys.create, ada, "app")
    assert secret.startswith("goni-")
    assert database.run(keys.person_of, secret) == ada
    assert database.run(keys.listed, ada) == [key]
    database.run(keys.revoke, ada, key.id)
    assert database.run(keys.person_of, secret) is None


def test_nobody_revokes_or_sees_another_persons_key(
    database: Database, ada: Person, bob: Person
) -> None:
    key, secret = database.run(keys.create, ada, "app")
    assert database.run(keys.listed, bob) == []
    with pytest.raises(NotFound):
        database.run(keys.revoke, bob, key.id)
    assert database.run(keys.person_of, secret) == ada


def test_a_chat_keeps_question_answer_and_sources(database: Database, ada: Person) -> None:
    chat = database.run(chats.create, ada)
    goni = {"sources": [{"n": 1, "document": "a.txt"}]}
    database.run(chats.append, ada, chat.id, "Why?\nReally", Entry("assistant", "So.", "m", goni))
    kept, entries = database.run(chats.read, ada, chat.id)
    assert kept.title == "Why? Really"
    assert [(entry.role, entry.content) for entry in entries] == [
        ("user", "Why?\nReally"),
        ("assistant", "So."),
    ]
    assert entries[1].goni == goni
    assert [found.id for found in database.run(chats.listed, ada)] == [chat.id]


def test_nobody_reads_writes_or_deletes_another_persons_chat(
    database: Database, ada: Person, bob: Person
) -> None:
    chat = database.run(chats.create, ada)
    database.run(chats.append, ada, chat.id, "q", Entry("assistant", "a"))
    assert database.run(chats.listed, bob) == []
    with pytest.raises(NotFound):
        database.run(chats.read, bob, chat.id)
    with pytest.raises(NotFound):
        database.run(chats.append, bob, chat.id, "q", Entry("assistant", "a"))
    with pytest.raises(NotFound):
        database.run(chats.delete, bob, chat.id)
    assert len(database.run(chats.read, ada, chat.id)[1]) == 2


def test_a_full_chat_takes_no_more(
    database: Database, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chats, "MOST_MESSAGES", 2)
    chat = database.run(chats.create, ada)
    database.run(chats.append, ada, chat.id, "q", Entry("assistant", "a"))
    with pytest.raises(Conflict):
        database.run(chats.append, ada, chat.id, "q", Entry("assistant", "a"))


def test_a_deleted_chat_leaves_no_text_behind(tmp_path: Path) -> None:
    database = Database(tmp_path / "gateway.db")
    ada = database.run(people.set_up, "Ada", "hash", "kitchen")
    chat = database.run(chats.create, ada)
    database.run(chats.append, ada, chat.id, "canary-question", Entry("assistant", "canary-answer"))
    database.run(chats.delete, ada, chat.id)
    database.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"kitchen" in kept
    assert b"canary" not in kept


def test_work_that_fails_leaves_nothing(database: Database, ada: Person) -> None:
    def half(connection: sqlite3.Connection) -> None:
        people.add(connection, "Eve", "member", "hash")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.run(half)
    assert database.run(people.named, "Eve") is None


def test_what_was_kept_is_there_after_reopening(tmp_path: Path) -> None:
    database = Database(tmp_path / "gateway.db")
    ada = database.run(people.set_up, "Ada", "hash", "kitchen")
    database.close()
    again = Database(tmp_path / "gateway.db")
    assert again.run(people.named, "Ada") == (ada, "hash")
    assert again.sound()
    again.close()


def test_a_database_of_a_newer_goni_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "gateway.db").close()
    connection = sqlite3.connect(tmp_path / "gateway.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(GoniError, match="newer version"):
        Database(tmp_path / "gateway.db")


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"not a database at all" * 500)
    with pytest.raises(GoniError, match="can't be opened"):
        Database(tmp_path / "gateway.db")


# --- invitations, removing, sign-ins -------------------------------------------------------


def test_an_invitation_makes_one_person_once(database: Database, ada: Person) -> None:
    made, code = database.run(invitations.invite, "Eve", "member")
    assert database.run(invitations.with_code, code) == made
    eve = database.run(invitations.accept, code, "hash")
    assert (eve.name, eve.role) == ("Eve", "member")
    with pytest.raises(NotFound):
        database.run(invitations.accept, code, "hash")
    assert database.run(invitations.listed) == []


def test_an_invitation_ends(
    database: Database, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "LIFETIME_S", -1)
    _, code = database.run(invitations.invite, "Eve", "member")
    with pytest.raises(NotFound):
        database.run(invitations.with_code, code)


def test_a_second_invitation_replaces_the_first(database: Database, ada: Person) -> None:
    _, first = database.run(invitations.invite, "Eve", "member")
    _, second = database.run(invitations.invite, " EVE", "member")
    with pytest.raises(NotFound):
        database.run(invitations.with_code, first)
    assert database.run(invitations.with_code, second).name == " EVE"


def test_nobody_is_invited_under_a_name_that_is_taken(database: Database, ada: Person) -> None:
    with pytest.raises(Conflict):
        database.run(invitations.invite, "ada", "member")


def test_an_invitation_is_stored_hashed(database: Database, ada: Person, tmp_path: Path) -> None:
    _, code = database.run(invitations.invite, "Eve", "member")
    for path in tmp_path.iterdir():
        assert code.encode() not in path.read_bytes()


def test_a_reset_changes_the_password_and_ends_sessions(database: Database, bob: Person) -> None:
    token = database.run(sessions.start, bob)
    _, code = database.run(invitations.renew, bob.id)
    assert database.run(sessions.person_of, token) == bob
    assert database.run(invitations.accept, code, "new hash") == bob
    assert database.run(people.named, "Bob") == (bob, "new hash")
    assert database.run(sessions.person_of, token) is None


def test_a_person_locked_out_has_no_way_in(database: Database, ada: Person, bob: Person) -> None:
    token = database.run(sessions.start, bob)
    _, secret = database.run(keys.create, bob, "app")
    _, code = database.run(invitations.renew, bob.id)
    database.run(people.lock_out, ada, bob.id, "bob")
    assert database.run(sessions.person_of, token) is None
    assert database.run(keys.person_of, secret) is None
    assert database.run(people.named, "Bob") == (bob, people.LOCKED)
    with pytest.raises(NotFound):
        database.run(invitations.with_code, code)
    assert [entry.locked for entry in database.run(people.listed)] == [False, True]


def test_removing_needs_the_name_and_takes_everything(
    database: Database, ada: Person, bob: Person
) -> None:
    chat = database.run(chats.create, bob)
    database.run(chats.append, bob, chat.id, "q", Entry("assistant", "a"))
    database.run(sign_ins.record, bob.id, "10.0.0.9", succeeded=True)
    with pytest.raises(BadInput, match="name"):
        database.run(people.lock_out, ada, bob.id, "Ada")
    database.run(people.lock_out, ada, bob.id, "Bob")
    database.run(people.remove, bob.id)
    for table in ("chats", "messages", "sign_ins", "keys", "sessions"):
        count = database.run(
            lambda connection, table=table: connection.execute(
                f"SELECT count(*) FROM {table}"
            ).fetchone()[0]
        )
        assert count == 0, table
    assert [entry.name for entry in database.run(people.listed)] == ["Ada"]


def test_an_owner_is_always_left(database: Database, ada: Person) -> None:
    eve = database.run(people.add, "Eve", "owner", "hash")
    with pytest.raises(Conflict):
        database.run(people.lock_out, ada, ada.id, "Ada")
    database.run(people.lock_out, ada, eve.id, "Eve")
    with pytest.raises(Forbidden):
        database.run(people.lock_out, eve, ada.id, "Ada")


def test_the_log_of_sign_ins_keeps_the_latest(
    database: Database, ada: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "MOST", 3)
    database.run(sign_ins.record, ada.id, "10.0.0.1", succeeded=True)
    for number in range(5):
        database.run(sign_ins.record, bob.id, f"10.0.0.{number}", succeeded=number % 2 == 0)
    found = database.run(sign_ins.listed, bob.id)
    assert [(entry.address, entry.succeeded) for entry in found] == [
        ("10.0.0.4", True),
        ("10.0.0.3", False),
        ("10.0.0.2", True),
    ]
    assert len(database.run(sign_ins.listed, ada.id)) == 1


def test_a_database_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(database_module.SCHEMA + "PRAGMA user_version = 1;")
    connection.execute("INSERT INTO people VALUES ('1', 'Ada', 'ada', 'owner', 'hash', 5)")
    connection.commit()
    connection.close()
    for _ in range(2):
        opened = Database(path)
        found = opened.run(people.named, "Ada")
        assert found is not None
        opened.run(sign_ins.record, found[0].id, "10.0.0.9", succeeded=True)
        opened.close()
