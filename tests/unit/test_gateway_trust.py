"""The page on port 80: languages, hosts, and the words of both catalogues."""

from __future__ import annotations

import pytest

from goni_gateway import trust


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, en;q=0.8", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("fr, de;q=0.2", "de"),
        ("de;q=0.1, en;q=0.9", "en"),
        ("fr", "en"),
        ("de;q=abc", "de"),
        ("de;q=", "de"),
        (",,;;q=9" * 500, "en"),
    ],
)
def test_the_language_that_a_browser_likes_best_is_spoken(header: str, language: str) -> None:
    assert trust.preferred(header) == language


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("kitchen.local", "kitchen.local"),
        ("192.168.1.20:80", "192.168.1.20"),
        ("[fe80::1]", "[fe80::1]"),
        ("[fe80::1]:8080", "[fe80::1]"),
        ('a"><script>', ""),
        ("a/b", ""),
        ("user@host", ""),
        ("", ""),
    ],
)
def test_only_a_plain_host_is_linked_to(given: str, host: str) -> None:
    assert trust.host_of({"host": given}) == host


def test_every_language_says_everything() -> None:
    keys = {language: trust._texts(language).keys() for language in trust.LANGUAGES}
    assert len({frozenset(one) for one in keys.values()}) == 1
    for language in trust.LANGUAGES:
        assert trust._texts(language)["language"] == language
        both = trust._texts(language).items()
        assert all(isinstance(one, str) and one for pair in both for one in pair)
