"""A server's certificate that changes while it serves."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from goni_core import tls
from goni_core.errors import GoniError
from goni_mesh import certificate, identity

TODAY = datetime.now(UTC)


async def shown(port: int) -> bytes:
    """The certificate that the server shows now, in DER."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(der)


def der_of(folder: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((folder / "tls.crt").read_text())


def test_a_new_certificate_is_shown_and_half_of_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.05)
    identity.ensure(tmp_path, "kitchen", TODAY)
    first = der_of(tmp_path)

    async def steps() -> None:
        held = tls.Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=held.context)
        port = server.sockets[0].getsockname()[1]
        keeping = asyncio.create_task(held.keep())
        assert await shown(port) == first

        # Another key, whose certificate isn't there yet; then garbage; then nothing.
        for key in (certificate.new_key(), b"-----BEGIN", None):
            if key is None:
                (tmp_path / "tls.key").unlink()
            else:
                (tmp_path / "tls.key").write_bytes(key)
            await asyncio.sleep(0.3)
            assert await shown(port) == first

        identity.ensure(tmp_path, "attic", TODAY)
        second = der_of(tmp_path)
        assert second != first
        async with asyncio.timeout(60):
            while await shown(port) != second:  # noqa: ASYNC110 - the file has no event
                await asyncio.sleep(0.05)
        keeping.cancel()
        server.close()

    asyncio.run(steps())


def test_files_that_can_not_be_used_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(GoniError, match="can't be used"):
        tls.Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
