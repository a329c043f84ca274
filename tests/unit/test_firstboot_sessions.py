"""Sessions of those who typed the right PIN."""

from __future__ import annotations

from goni_firstboot.sessions import LIFE_S, MOST, Sessions


def test_session_lives_on_while_it_is_used_and_ends_when_not() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    token = sessions.open()
    for _ in range(3):
        now[0] += LIFE_S - 1
        assert sessions.holds(token)
    now[0] += LIFE_S
    assert not sessions.holds(token)


def test_unknown_tokens_are_no_session() -> None:
    sessions = Sessions(lambda: 0.0)
    sessions.open()
    assert not sessions.holds(None)
    assert not sessions.holds("")
    assert not sessions.holds("guessed")


def test_the_longest_idle_session_makes_room() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    tokens = []
    for _ in range(MOST + 1):
        now[0] += 1
        tokens.append(sessions.open())
    assert not sessions.holds(tokens[0])
    assert all(sessions.holds(token) for token in tokens[1:])
