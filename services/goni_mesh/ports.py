"""Ports that are open only as long as there is a reason to: the channel for members, the pairing
port for a node that waits to be joined. A port that is closed answers nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from goni_core.serve import Listener, serving

log = logging.getLogger(__name__)

RETRY_S = 5.0
LOOK_S = 1.0
"""Seconds until a reason that ended by itself (an offer that grew old) closes its port."""


class Port:
    """A port at ``host``:``port``, open while ``wanted()`` is something, and opened anew when that
    changes; ``listener`` makes what serves it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        wanted: Callable[[], object],
        listener: Callable[[socket.socket], Listener],
    ) -> None:
        self._address = host, port
        self._wanted = wanted
        self._listener = listener
        self.changed = asyncio.Event()

    async def keep(self) -> None:
        """Open and close it until cancelled."""
        while True:
            reason = self._wanted()
            if not reason:
                await self._look()
                continue
            try:
                async with serving(self._listener(listening(*self._address))):
                    while self._wanted() == reason:
                        await self._look()
            except OSError as error:
                log.error("port %d can't be opened: %s", self._address[1], error.strerror)
                await asyncio.sleep(RETRY_S)

    async def _look(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self.changed.wait()
        self.changed.clear()


def listening(host: str, port: int) -> socket.socket:
    """A listening socket; for ``::`` it takes IPv4 too, and IPv4 alone where there is no IPv6."""
    if host == "::" and socket.has_dualstack_ipv6():
        return socket.create_server(
            (host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
        )
    family = socket.AF_INET6 if ":" in host and host != "::" else socket.AF_INET
    return socket.create_server(("" if host == "::" else host, port), family=family, backlog=128)
