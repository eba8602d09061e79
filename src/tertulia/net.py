"""The one door to the network: connections, timeouts, and what goes wrong with them, in our own words.

An address is ``http://host:port``, ``https://host/base`` or ``unix:/path/of/a/socket``.
"""

import asyncio
import contextlib
import io
import ipaddress
import os
import socket
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDictProxy
from yarl import URL

from tertulia.errors import ConfigError, Forbidden, Timeout, TooLarge, Upstream

_UNIX = "unix:"
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError)
_NONE_ADDED = frozenset({"Accept", "Accept-Encoding", "User-Agent", "Content-Type"})
_GZIP = zlib.MAX_WBITS + 16
MEBI = 1 << 20

_PUBLIC6 = ipaddress.IPv6Network("2000::/3")
_INWARD = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16"),  # this machine and its link
        *("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"),  # private, or shared by a provider
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # looks public, and is the inside of Azure
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # Teredo and 6to4 wrap addresses of any kind
    )
)


class Net:
    """Pools of connections, one for TCP and one for each Unix socket. Made and used on one event loop."""

    def __init__(self, connect_timeout: float = 10, resolver: AbstractResolver | None = None) -> None:
        """``resolver`` says where hosts are that :meth:`fetch` is asked for; the system does unless it is given."""
        self._connect_timeout = connect_timeout
        self._resolver = resolver
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._urls: dict[tuple[str, str], URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

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
        timeout = self._timeouts.get(silence) or self._timeout(silence)
        try:
            response = await self._session(address).request(
                method, url, data=_piecewise(body), headers=headers, timeout=timeout, allow_redirects=False
            )
        except _FAULTS as fault:
            raise _translate(fault, address) from fault
        return Reply(response, address)

    async def fetch(self, url: URL, headers: Mapping[str, str], *, inward: bool, proxy: str, silence: float) -> "Reply":
        """Get what a URL names that somebody else has written; the reply has its head. A redirect is not followed.

        Unless ``inward``, none but public addresses are dialled: each is looked at where its socket is made, so what a
        name means is asked once. A ``proxy`` dials in our stead, and then only addresses in the URL itself are looked
        at. Raises Forbidden for an address that isn't public, Upstream, or Timeout.
        """
        host = url.host or ""
        if not inward and _literal(host) and not is_public(host):
            raise Forbidden(f"{host} is not a public address")
        session = self._visitor(checked=not (inward or proxy))
        try:
            response = await session.get(
                url, headers=headers, timeout=self._timeout(silence), allow_redirects=False, proxy=proxy or None
            )
        except _FAULTS as fault:
            if isinstance(getattr(fault, "os_error", None), _Inward):
                raise Forbidden(f"{host} is not a public address") from None
            raise _translate(fault, str(url.origin())) from fault
        return Reply(response, str(url.origin()))

    def _visitor(self, *, checked: bool) -> aiohttp.ClientSession:
        """Connections for one answer each: nothing that was found out about a host is used again."""
        name = "checked" if checked else "unchecked"
        session = self._sessions.get(name)
        if session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                force_close=True,
                use_dns_cache=False,
                resolver=self._resolver,
                socket_factory=_outward if checked else None,
            )
            session = self._sessions[name] = self._begin(connector)
        return session

    def _timeout(self, silence: float) -> aiohttp.ClientTimeout:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout, sock_read=silence or None)
        if len(self._timeouts) < 100:
            self._timeouts[silence] = timeout
        return timeout

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
            session = self._sessions[name] = self._begin(connector)
        return session

    def _begin(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NONE_ADDED,
        )

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

    __slots__ = ("_address", "_packed", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, address: str) -> None:
        self._response = response
        self._address = address
        self.status: int = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        coding = self.headers.get("Content-Encoding")
        self._packed = Packed(coding) if coding else None

    def bound(self, silence: float) -> None:
        """From here on the other side may pause for ``silence`` seconds (0: for ever)."""
        connection = self._response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = silence or None
            connection.protocol.start_timeout()

    async def piece(self) -> bytes:
        """What has come since the last call, or will come next; empty at the end. Raises Upstream if it is cut off, or
        packed in a way that can't be undone."""
        try:
            if self._packed is None:
                return await self._response.content.readany()
            while True:
                if piece := self._packed.more():
                    return piece
                if not (data := await self._response.content.readany()):
                    self._packed.end()
                    return b""
                self._packed.add(data)
        except zlib.error as error:
            self._response.close()
            raise Upstream(f"{self._address} packed its answer in a way that can't be undone: {error}") from None
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

    async def rest(self, seconds: float) -> None:
        """Wait so long for an end that must be near: then :meth:`close` needn't hang up."""
        if not self._response.content.at_eof():
            with contextlib.suppress(TimeoutError, *_FAULTS):
                async with asyncio.timeout(seconds):
                    await self._response.content.readany()

    def close(self) -> None:
        """Give the connection back if all has been read, else hang up."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Packed:
    """An answer in gzip or deflate, undone as it comes, a bounded piece at a time: a small answer that unpacks to
    gigabytes never is in memory as a whole. Raises zlib.error for what can't be undone, or is cut off."""

    def __init__(self, coding: str, most: int = MEBI) -> None:
        self._coding = coding.strip().lower()
        self._most = most
        self._waiting = b""
        self._undo = zlib.decompressobj(_GZIP)
        self._begun = self._full = False

    def add(self, data: bytes) -> None:
        """Take what has come."""
        if not self._begun:
            self._begun = True
            if self._coding in ("deflate", "x-deflate"):  # in zlib's wrapping, as the standard says, or without it
                self._undo = zlib.decompressobj(zlib.MAX_WBITS if data[0] & 15 == 8 else -zlib.MAX_WBITS)
            elif self._coding in ("identity", ""):
                self._coding = ""
            elif self._coding not in ("gzip", "x-gzip"):
                raise zlib.error(f"{self._coding[:20]} was not asked for")
        self._waiting += data

    def more(self) -> bytes:
        """The next piece of what was taken; empty when there is none."""
        while self._waiting or self._full:
            if not self._coding:
                piece, self._waiting = self._waiting, b""
                return piece
            if self._undo.eof:  # gzip may have several parts; what else stands behind the end is padding
                if self._waiting[:2] != b"\x1f\x8b":
                    self._waiting, self._full = b"", False
                    break
                self._undo = zlib.decompressobj(_GZIP)
            piece = self._undo.decompress(self._waiting, self._most)
            self._full = len(piece) == self._most  # there may be more that needs no more of what is waiting
            self._waiting = self._undo.unused_data if self._undo.eof else self._undo.unconsumed_tail
            if piece:
                return piece
        return b""

    def end(self) -> None:
        """Nothing more comes."""
        if self._begun and self._coding and not self._undo.eof:
            raise zlib.error("it is not whole")


def is_public(address: str) -> bool:
    """Whether an IP address, as text, is one of the Internet. One that carries another within it (IPv4-mapped, 6to4,
    NAT64, Teredo) is not, whatever that is."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address) and (known.scope_id or known not in _PUBLIC6):
        return False
    return not any(known in network for network in _INWARD)


class _Inward(OSError):
    """An address was about to be dialled that isn't public."""


def _outward(info: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]):
    """A socket for the very address that is dialled next. Raises _Inward."""
    family, kind, protocol, _, place = info
    if not is_public(str(place[0])) or _ours(family, str(place[0])):
        raise _Inward("not a public address")
    return socket.socket(family, kind, protocol)


def _ours(family: int, address: str) -> bool:
    """Whether an address is this machine's own: from inside, no firewall guards what listens there."""
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((address, 9))  # nothing is sent: it is only decided from where it would be
        except OSError:
            return False
        return ipaddress.ip_address(str(trial.getsockname()[0])) == ipaddress.ip_address(address)


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _piecewise(body: bytes | None) -> bytes | io.BytesIO | None:
    """A body of megabytes is sent a piece at a time: in one it would hold the event loop."""
    return io.BytesIO(body) if body is not None and len(body) >= MEBI else body


def _translate(fault: BaseException, address: str) -> Upstream:
    """Our word for what aiohttp or the system raised."""
    match fault:
        case aiohttp.ConnectionTimeoutError():
            return Timeout(f"{address} took too long to accept a connection")
        case TimeoutError():
            return Timeout(f"{address} was silent for too long")
        case aiohttp.ClientConnectorCertificateError():
            return Upstream(f"{address} has no certificate that is trusted here")
        case aiohttp.ClientSSLError():
            return Upstream(f"{address} does not speak TLS as it should")
        case aiohttp.ClientConnectorError():
            number = fault.os_error.errno  # the text beside it is asyncio's, and repeats the address
            why = os.strerror(number) if number and number > 0 else fault.os_error.strerror or str(fault.os_error)
            return Upstream(f"{address} can't be reached: {why}")
        case aiohttp.ClientResponseError():
            why = fault.message.partition("\n")[0].rstrip(":")  # the lines behind it repeat what was answered
            return Upstream(f"{address} answered something that is not HTTP: {why}")
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | OSError():
            return Upstream(f"{address} cut the connection before its answer was whole")
        case _:
            return Upstream(f"{address} failed: {fault}")
