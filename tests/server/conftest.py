"""A server over an Echo on a free port of loopback, and ways to talk to it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import uvloop

from echo import Echo
from talk import Ask, Said
from tertulia.config import Config
from tertulia.server.app import running


@pytest.fixture
def backend() -> Echo:
    return Echo()


@pytest.fixture
def config() -> Config:
    config = Config()
    config.server.port = 0
    config.server.grace = 0.3
    return config


@pytest.fixture
async def url(backend: Echo, config: Config) -> AsyncGenerator[str, None]:
    async with running(backend, config, advice=lambda name: f"'tertulia pull {name}' gets it") as address:
        yield address


@pytest.fixture
async def http() -> AsyncGenerator[aiohttp.ClientSession, None]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def ask(url: str, http: aiohttp.ClientSession) -> Ask:
    """Send a request to a path; a dict is a chat's body."""

    async def ask(body: Any = None, path: str = "/v1/chat/completions", method: str = "", **headers: str) -> Said:
        data = json.dumps(body).encode() if isinstance(body, dict | list) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        method = method or ("GET" if body is None else "POST")
        async with http.request(method, url + path, data=data, headers=named) as response:
            return Said(response.status, response.headers, await response.read())

    return ask


@pytest.fixture
async def connect(url: str) -> AsyncGenerator[Callable[..., Awaitable[Any]], None]:
    """Open a bare connection; all are closed at the end."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        writer.write(sent)
        await writer.drain()
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that ``tertulia serve`` runs on: its transports differ from asyncio's in ways that have mattered."""
    return {"uvloop": uvloop.new_event_loop}
