"""The credentials that bring the test agent: whole, small enough, and decodable as systemd does."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from goni_core.errors import BadInput
from image import credentials

PREFIX = "io.systemd.credential.binary:"


def decoded(path: Path) -> tuple[str, bytes]:
    text = path.read_text(encoding="ascii")
    assert text.startswith(PREFIX)
    name, value = text.removeprefix(PREFIX).split("=", 1)
    return name, base64.b64decode(value, validate=True)


def test_each_credential_is_one_string_that_decodes_to_itself(tmp_path: Path) -> None:
    given = credentials.agent()
    paths = credentials.write(given, tmp_path / "strings")
    assert dict(decoded(path) for path in paths) == given


def test_the_agents_unit_is_pulled_in_and_runs_the_agents_source() -> None:
    given = credentials.agent()
    unit = given[f"systemd.extra-unit.{credentials.UNIT}"].decode()
    (dropin,) = [text for name, text in given.items() if name.startswith("systemd.unit-dropin.")]
    assert credentials.UNIT in dropin.decode()
    assert f"/run/credentials/@system/{credentials.AGENT}" in unit
    assert b"def main()" in given[credentials.AGENT]


def test_the_agents_unit_waits_for_nothing_and_survives_emergency_mode() -> None:
    lines = credentials.UNIT_TEXT.splitlines()
    assert "DefaultDependencies=no" in lines
    assert "IgnoreOnIsolate=yes" in lines
    assert not [line for line in lines if line.startswith(("After=", "Requires="))]


def test_all_of_the_agent_fits_one_smbios_table() -> None:
    texts = [credentials.string(name, value) for name, value in credentials.agent().items()]
    assert sum(map(len, texts)) < credentials.LARGEST


def test_a_credential_too_long_for_smbios_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too long"):
        credentials.write({"large": b"x" * credentials.LARGEST}, tmp_path / "strings")
    assert not (tmp_path / "strings").exists()


def test_many_credentials_too_long_together_are_refused(tmp_path: Path) -> None:
    many = {f"part{number}": b"x" * 9000 for number in range(5)}
    with pytest.raises(BadInput, match="too long"):
        credentials.write(many, tmp_path / "strings")
