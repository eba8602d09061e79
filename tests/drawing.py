"""Pictures and the hosts that serve them: for tests of what an image_url may name."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any, Self, TypeVar

import numpy as np
from aiohttp.abc import AbstractResolver, ResolveResult
from numpy.typing import NDArray
from PIL import Image

T = TypeVar("T")
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
PARAM = "messages[0].content[1].image_url"


def gradient(width: int = 24, height: int = 16) -> NDArray[np.uint8]:
    """Every pixel another colour."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 9 % 256, columns * 7 % 256, (rows + columns) * 5 % 256], -1).astype(np.uint8)


def file(pixels: NDArray[np.uint8], kind: str = "PNG", mode: str = "", **options: Any) -> bytes:
    """A picture's file."""
    image = Image.fromarray(pixels)
    out = BytesIO()
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def keep(picture: T) -> T:
    """For tests of a picture itself: what a loader is to make of it."""
    return picture


def reply(content: bytes, kind: str = "image/png", more: str = "") -> bytes:
    """A whole answer of a web server."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode() + content


def moved(place: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()


class Site:
    """A web server on loopback, of both kinds; it counts who connects, and keeps what was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | Answer] = {}
        self.connections = 0
        self.heads: list[str] = []
        self.port = 0
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Self:
        first = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = first.sockets[0].getsockname()[1]
        self._servers = [first]
        with contextlib.suppress(OSError):  # a machine without it
            self._servers.append(await asyncio.start_server(self._serve, "::1", self.port))
        return self

    async def __aexit__(self, *error: object) -> None:
        for server in self._servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            page = self.pages.get(head.split()[1], b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            if isinstance(page, bytes):
                writer.write(page)
                await writer.drain()
            else:
                await page(writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the other side hung up, or the test is over
        finally:
            writer.close()


class Names(AbstractResolver):
    """Says where hosts are: the addresses of the first time, of the second ... Any other host is nowhere.
    One that is at ``wait`` is looked for in vain."""

    def __init__(self, names: dict[str, list[list[str]]]) -> None:
        self._names = names
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        times = self._names.get(host)
        if not times:
            raise OSError(None, "no such host")
        addresses = times[min(self.asked.count(host), len(times) - 1)]
        self.asked.append(host)
        if addresses == ["wait"]:
            await asyncio.sleep(60)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass
