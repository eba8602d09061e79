"""What `tertulia run` puts between a command and the network: a proxy on loopback that answers for Hugging Face.

Clients that know those addresses by heart, and honour HTTPS_PROXY, ask the proxy for a tunnel (CONNECT). For one of
``HOSTS`` the tunnel ends here: TLS is undone with a certificate whose authority lives as long as the proxy, and the
request goes to our server. Any other tunnel ends where it was meant to, unread.
"""

import asyncio
import base64
import hmac
import logging
import secrets
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import trustme

from tertulia.errors import ConfigError

log = logging.getLogger("tertulia.intercept")

HOSTS = ("router.huggingface.co", "huggingface.co")
TUNNELS = 1000
"""The most that there may be at once."""
PATIENCE = 20.0
"""Seconds to say where to, to shake hands, and to reach the other side."""
IDLE = 3600.0
"""Seconds that a tunnel may be silent."""
_PIECE = 1 << 16
Answer = Callable[[StreamReader, StreamWriter], Awaitable[None]]


class Refused(Exception):
    """A tunnel that can't be had: the status line that says so, and why."""


class Proxy:
    """An async context, for the server at the address ``server``. ``url`` is what HTTPS_PROXY is to be, with a password
    in it: nobody else on this machine gets through. ``authority`` is the certificate to trust, in PEM; its key never
    leaves this process, and the server's is in ``room``, a private folder, for the moment in which it is read.

    ``beyond`` is the proxy that leads to the network, if there is one. Raises ConfigError for one that isn't of HTTP.
    """

    def __init__(self, server: str, room: Path, beyond: str = "") -> None:
        if beyond and urlsplit(beyond).scheme not in ("http", "https"):
            raise ConfigError(f"HTTPS_PROXY is a proxy of {urlsplit(beyond).scheme}: only one of http is gone through")
        authority = trustme.CA(organization_name="Tertulia", organization_unit_name="tertulia run")
        self.url = ""
        self.authority = authority.cert_pem.bytes()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with authority.issue_cert(*HOSTS).private_key_and_cert_chain_pem.tempfile(dir=str(room)) as key:
            self._context.load_cert_chain(key)
        self._server = urlsplit(server)
        self._beyond = beyond
        self._inside = 0
        self._login = ""
        self._listeners: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._inside = await self._listen(self._answer, ssl=self._context, ssl_handshake_timeout=PATIENCE)
        password = secrets.token_hex(16)
        self._login = _basic("run", password)
        self.url = f"http://run:{password}@127.0.0.1:{await self._listen(self._tunnel)}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None):
        for listener in self._listeners:
            listener.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, answer: Answer, **options: Any) -> int:
        """Have ``answer`` answer each connection to a free port, as a task of ours."""

        async def guard(reader: StreamReader, writer: StreamWriter) -> None:
            try:
                await answer(reader, writer)
            except (OSError, EOFError) as fault:
                log.info("a tunnel broke: %s", fault or "it took too long")
            except asyncio.CancelledError:
                writer.transport.abort()
                raise
            finally:
                writer.close()

        def accept(reader: StreamReader, writer: StreamWriter) -> None:
            if len(self._open) >= TUNNELS:
                writer.close()
                return
            task = asyncio.get_running_loop().create_task(guard(reader, writer))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

        listener = await asyncio.start_server(accept, "127.0.0.1", 0, **options)
        self._listeners.append(listener)
        return listener.sockets[0].getsockname()[1]

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One whose TLS has been undone."""
        async with asyncio.timeout(PATIENCE):
            there = await asyncio.open_connection(self._server.hostname, self._server.port)
        await _join((reader, writer), there)

    async def _tunnel(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One who wants a tunnel."""
        try:
            async with asyncio.timeout(PATIENCE):
                there = await self._reach(*self._read(await _head(reader)))
        except (Refused, TimeoutError) as no:
            status, why = no.args or ("504 Gateway Timeout", "it took too long")
            body = f"{why}\n".encode()
            head = f'HTTP/1.1 {status}\r\nProxy-Authenticate: Basic realm="tertulia"\r\nConnection: close\r\n'
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _join((reader, writer), there)

    def _read(self, head: list[str]) -> tuple[str, int]:
        """Where a tunnel is to end. Raises Refused."""
        method, _, rest = head[0].partition(" ")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if not hmac.compare_digest(fields.get("proxy-authorization", "").encode(), self._login.encode()):
            raise Refused("407 Proxy Authentication Required", "this proxy is for one command alone")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        if method != "CONNECT" or not host or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise Refused("501 Not Implemented", "this proxy only makes tunnels: CONNECT HOST:PORT")
        return host.strip("[]").lower().rstrip("."), int(port)

    async def _reach(self, host: str, port: int) -> tuple[StreamReader, StreamWriter]:
        """A connection to where the tunnel ends. Raises Refused."""
        try:
            if host in HOSTS and port == 443:
                return await asyncio.open_connection("127.0.0.1", self._inside)
            if self._beyond:
                return await _through(self._beyond, host, port)
            return await asyncio.open_connection(host, port)
        except OSError as fault:
            raise Refused("502 Bad Gateway", f"{host}:{port} can't be reached: {fault}") from None


async def _through(beyond: str, host: str, port: int) -> tuple[StreamReader, StreamWriter]:
    """A tunnel that another proxy makes. Raises Refused with what it said."""
    url = urlsplit(beyond)
    secure = url.scheme == "https"
    reader, writer = await asyncio.open_connection(
        url.hostname, url.port or (443 if secure else 80), ssl=secure or None
    )
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    login = _basic(unquote(url.username or ""), unquote(url.password or ""))
    shown = f"Proxy-Authorization: {login}\r\n" if url.username else ""
    writer.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n{shown}\r\n".encode("latin-1"))
    try:
        said = (await _head(reader))[0]
    except EOFError:
        said = "nothing"
    if said.split(" ")[1:2] != ["200"]:
        writer.close()
        raise Refused("502 Bad Gateway", f"the proxy at {url.hostname} answered {said} for {where}")
    return reader, writer


async def _head(reader: StreamReader) -> list[str]:
    """The lines of a message up to the empty one. Raises Refused where they are too long, EOFError where they end."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError:
        raise Refused("431 Request Header Fields Too Large", "what was asked is too long") from None


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


async def _join(near: tuple[StreamReader, StreamWriter], far: tuple[StreamReader, StreamWriter]) -> None:
    """Carry bytes both ways until both sides have ended, or neither has said anything for IDLE seconds."""
    now = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(IDLE) as clock:

            async def carry(reader: StreamReader, writer: StreamWriter) -> None:
                while piece := await reader.read(_PIECE):
                    clock.reschedule(now() + IDLE)
                    writer.write(piece)
                    await writer.drain()
                # TLS can't end in one direction
                writer.write_eof() if writer.can_write_eof() else writer.close()

            async with asyncio.TaskGroup() as both:
                both.create_task(carry(near[0], far[1]))
                both.create_task(carry(far[0], near[1]))
    except* OSError as broken:
        log.debug("a tunnel was cut: %s", broken.exceptions[0])
    finally:
        far[1].close()
