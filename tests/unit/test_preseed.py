"""What goni.yaml may hold."""

from __future__ import annotations

import re
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goni_core import preseed
from goni_core.errors import BadInput

WHOLE = textwrap.dedent((preseed.__doc__ or "").partition("::\n\n")[2])


def test_the_documented_example_is_a_good_one_with_every_key() -> None:
    found = preseed.parse(WHOLE.encode())
    assert found.node_name == "kitchen"
    assert found.owner == "Anna"
    assert found.network == preseed.Network("192.168.1.20/24", "192.168.1.1", ("192.168.1.1",))
    assert found.install == preseed.Install("S6Z2NJ0W", keep_data=True)
    assert set(re.findall(r"^(\w+):", WHOLE, re.MULTILINE)) == set(preseed.KEYS)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_one_answers_nothing(text: str) -> None:
    assert preseed.parse(text.encode()) == preseed.Preseed()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hostname: x", "unknown field 'hostname'"),
        ("node_name: Kitchen Sink", "node_name must be"),
        ("node_name: [a]", "node_name must be a string"),
        ("owner: ' Anna'", "owner must be"),
        ('owner: "A\\u202Enna"', "owner must be"),
        ("owner: {name: Anna, password: secret}", "owner must be a string"),
        ("language: english", "language must be"),
        ("time_zone: Mars/Olympus", "time_zone must be"),
        ("time_zone: ../../etc/passwd", "time_zone must be"),
        ("network: dhcp", "network must hold"),
        ("network: {}", "address is missing"),
        ("network: {address: 192.168.1.20}", "network: address must be"),
        ("network: {address: 192.168.1.20/24, gateway: 10.0.0.1}", "gateway is not in"),
        ("network: {address: 192.168.1.20/24, dns: [a]}", "dns must be"),
        (
            "network: {address: 192.168.1.20/24, dns: ['::', '::', '::', '::']}",
            "dns",
        ),
        ("network: {address: 192.168.1.20/24, wifi: x}", "unknown field 'wifi'"),
        ("install: {}", "disk is missing"),
        ("install: {disk: 12345}", "in quotes"),
        ("install: {disk: x, keep_data: maybe}", "keep_data must be"),
        ("- a", "must hold keys"),
        ("a: [", "not YAML, line"),
        ("!!python/object/apply:os.system [id]", "not YAML"),
        ("x" * 20_000, "larger than 16 KiB"),
    ],
)
def test_a_bad_one_is_refused_by_the_fields_name(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as caught:
        preseed.parse(text.encode())
    assert complaint in caught.value.message


def test_an_error_never_repeats_what_was_typed() -> None:
    with pytest.raises(BadInput) as caught:
        preseed.parse(b"owner: 'hunter2\\x07'\nlanguage: hunter2")
    assert "hunter2" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300)
    | st.text(alphabet="ab:{}[]&*!-' \n#|>?%\"0.9e", max_size=80).map(str.encode)
)
def test_anything_is_an_answer_or_bad_input(data: bytes) -> None:
    try:
        assert isinstance(preseed.parse(data), preseed.Preseed)
    except BadInput as error:
        assert error.message
