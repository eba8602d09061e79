"""The one door to the network: connections, timeouts, and what goes wrong with them, in our own words.

An address is ``http://host:port``, ``https://host/base`` or ``unix:/path/of/a/socket``.
"""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from tertulia.errors import ConfigError, Timeout, TooLarge, Upstream

_UNIX = "unix:"
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError)
_NONE_ADDED = frozenset({"Accept", "Accept-Encoding", "User-Agent", "Content-Type"})
MEBI = 1 << 20


class Net:
    """Pools of connections, one for TCP and one for each Unix socket. Made and used on one event loop."""

    def __init__(self, connect_timeout: float = 10) -> None:
        self._connect_timeout = connect_timeout
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._urls: dict[tuple[str, str], URL] = {}

    async def send(
        self,
        method: str,
        address: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        silence: float = 60,
    ) -> "Reply":
        """Send a request; the reply has its head and may still be on its way.

        ``silence`` bounds, in seconds, how long the other side may take to begin its answer; :meth:`Reply.bound` sets
        how long it may pause after that. Raises Upstream, or Timeout.
        """
        url = self._urls.get((address, path)) or self._url(address, path)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout, sock_read=silence or None)
        try:
            response = await self._session(address).request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            )
        except _FAULTS as fault:
            raise _translate(fault, address) from fault
        return Reply(response, address)

    def _url(self, address: str, path: str) -> URL:
        base = "http://localhost" if address.startswith(_UNIX) else address.rstrip("/")
        url = URL(base + path)
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigError(f"{address} is not an address: http://host:port, https://host or unix:/path would be")
        if len(self._urls) < 1000:
            self._urls[address, path] = url
        return url

    def _session(self, address: str) -> aiohttp.ClientSession:
        name = address if address.startswith(_UNIX) else ""
        session = self._sessions.get(name)
        if session is None:
            connector = aiohttp.UnixConnector(name[len(_UNIX) :], limit=0) if name else aiohttp.TCPConnector(limit=0)
            session = self._sessions[name] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_NONE_ADDED,
            )
        return session

    async def close(self) -> None:
        """Close every connection."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def forget(self, address: str) -> None:
        """Close the connections to a Unix socket that will not be used again."""
        if session := self._sessions.pop(address, None):
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None):
        await self.close()


class Reply:
    """An answer on its way. Read it to its end or close it: an unread one keeps its connection."""

    __slots__ = ("_address", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, address: str) -> None:
        self._response = response
        self._address = address
        self.status: int = response.status
        self.headers: CIMultiDictProxy[str] = response.headers

    def bound(self, silence: float) -> None:
        """From here on the other side may pause for ``silence`` seconds (0: for ever)."""
        connection = self._response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = silence or None
            connection.protocol.start_timeout()

    async def piece(self) -> bytes:
        """What has come since the last call, or will come next; empty at the end. Raises Upstream if it is cut off."""
        try:
            return await self._response.content.readany()
        except _FAULTS as fault:
            self._response.close()
            raise _translate(fault, self._address) from fault

    async def read(self, limit: int = 64 * MEBI) -> bytes:
        """All of it. The connection is free for the next request after that."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.piece():
            pieces.append(piece)
            if (size := size + len(piece)) > limit:
                self.close()
                raise TooLarge(f"{self._address} answered more than {limit} bytes")
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if all has been read, else hang up."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _translate(fault: BaseException, address: str) -> Upstream:
    """Our word for what aiohttp or the system raised."""
    match fault:
        case aiohttp.ConnectionTimeoutError():
            return Timeout(f"{address} took too long to accept a connection")
        case TimeoutError():
            return Timeout(f"{address} was silent for too long")
        case aiohttp.ClientConnectorError():
            number = fault.os_error.errno  # the text beside it is asyncio's, and repeats the address
            return Upstream(f"{address} can't be reached: {os.strerror(number) if number else fault.os_error}")
        case aiohttp.ClientResponseError():
            return Upstream(f"{address} answered something that is not HTTP: {fault.message}")
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | OSError():
            return Upstream(f"{address} cut the connection before its answer was whole")
        case _:
            return Upstream(f"{address} failed: {fault}")
