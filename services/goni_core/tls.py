"""A server's certificate that is taken up anew when its files change.

A node that joins a household, gets another name or renews its certificate shows the new one from
the next handshake on, without a restart that would end running answers.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from goni_core.errors import GoniError

log = logging.getLogger(__name__)

LOOK_S = 2.0


class Certificate:
    """The certificate and key in two PEM files, and the server's side of TLS (:attr:`context`) that
    shows them. :class:`GoniError` when they can't be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._seen = self._stamp()
        self._load()

    async def keep(self) -> None:
        """Look for new files until cancelled. What can't be used, such as one of two files that are
        being replaced, is left for the next look.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._stamp()
            if now == self._seen:
                continue
            try:
                self._load()
            except GoniError as error:
                log.warning("%s", error.message)
                continue
            self._seen = now
            log.info("the certificate is a new one")

    def _load(self) -> None:
        try:
            # Not into the running one at once: a key that doesn't fit would leave it with none.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except OSError as error:  # SSLError is one
            raise GoniError(
                f"the certificate or its key can't be used: {error.strerror}",
                hint="run goni-mesh identity",
                code="bad_certificate",
            ) from error

    def _stamp(self) -> tuple[object, ...]:
        return tuple(_stat(path) for path in self._files)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
