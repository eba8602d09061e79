"""Connections that say nothing, half of something, or something else disturb nobody."""

import asyncio
import json
import time
from typing import Any

import pytest

from echo import Echo
from talk import Ask, chat, post, until
from tertulia.config import Config


async def test_five_hundred_silent_connections_disturb_nobody(connect: Any, ask: Ask):
    for _ in range(500):
        await connect()
    began = time.monotonic()
    for _ in range(20):
        assert (await ask(chat("one two"))).status == 200
    assert time.monotonic() - began < 2


async def test_a_connection_that_says_nothing_or_half_a_head_is_closed(connect: Any, config: Config):
    config.server.header_timeout = 0.3  # read when the connection is made, by a server that is already up
    for sent in (b"", b"POST /v1/chat/comp", b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc"):
        reader, _ = await connect(sent)
        async with asyncio.timeout(2):
            assert await reader.read() == b""


async def test_a_body_that_stops_coming_is_given_up(connect: Any, config: Config, backend: Echo):
    config.server.header_timeout = 0.2
    request = post(chat("one"))
    reader, _ = await connect(request[:-5])
    async with asyncio.timeout(3):
        assert b" 504 " in await reader.readline()
    assert backend.requests == []


async def test_a_body_that_comes_slowly_but_comes_is_waited_for(connect: Any, config: Config):
    config.server.header_timeout = 0.3
    request = post(chat("one"))
    at = request.index(b"\r\n\r\n") + 4
    reader, writer = await connect(request[:at])
    for i in range(at, len(request), 10):
        writer.write(request[i : i + 10])
        await asyncio.sleep(0.1)
    assert b" 200 " in await reader.readline()


async def test_over_the_bound_a_connection_is_told_to_come_back(connect: Any, config: Config, url: str, ask: Ask):
    assert (await ask(chat("one"))).status == 200
    full = Config()
    full.server.port, full.server.connections = 0, 3
    from tertulia.server.app import running

    async with running(Echo(), full) as other:
        port = int(other.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 429 " in head and b"Retry-After: 1" in head
        assert json.loads(body)["error"]["code"] == "too_many_connections"
        writer.close()
        held.pop()[1].close()
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(chat("one")))
        assert b" 200 " in await reader.readline()
        for _, other_writer in [*held, (reader, writer)]:
            other_writer.close()


async def test_what_is_not_http_is_refused_in_our_words(connect: Any, ask: Ask):
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        reader, _ = await connect(sent)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b" 400 " in head and b"X-Error-Message:" in head
        assert "not an HTTP request" in json.loads(body)["error"]["message"]
    assert (await ask(chat("one"))).status == 200


async def test_bytes_that_are_refused_are_quoted_nowhere(connect: Any, caplog: pytest.LogCaptureFixture):
    """They may be a token, or a message."""
    caplog.set_level("INFO")
    heads = [b"Authorization : Bearer SECRET", b"Authorization: Bearer \x01SECRET", b"A: " + b"SECRET" * 2000]
    for head in heads:
        reader, _ = await connect(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n")
        answer = await reader.read()
        assert b" 400 " in answer and b"SECRET" not in answer
    assert "SECRET" not in caplog.text


async def test_a_body_that_is_not_what_its_head_says_is_refused_without_ado(
    connect: Any, caplog: pytest.LogCaptureFixture
):
    request = post(chat("one")).replace(b"Content-Length", b"Content-Encoding: gzip\r\nContent-Length")
    reader, _ = await connect(request)
    assert b" 400 " in await reader.readline()
    await asyncio.sleep(0.1)
    assert "Traceback" not in caplog.text


async def test_a_head_that_is_too_long_is_refused(connect: Any):
    reader, _ = await connect(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n")
    assert b" 400 " in await reader.readline()


async def test_one_connection_carries_many_chats_in_order(connect: Any, backend: Echo):
    reader, _ = await connect(b"".join(post(chat(f"word{i}")) for i in range(20)))
    for i in range(20):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["choices"][0]["message"]["content"] == f"word{i}"
    await until(lambda: backend.ended == 20)
