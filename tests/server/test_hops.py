"""A provider that is a server like this one, or this one itself."""

import contextlib
import json
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp

from talk import chat
from tertulia import build
from tertulia.config import Config, Provider
from tertulia.server.app import running
from upstream import Upstream, whole

MODEL = "some/model"


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.asynccontextmanager
async def serving(port: int, home: Path, **providers: str) -> AsyncGenerator[str, None]:
    """A server at ``port`` whose providers are at these addresses."""
    config = Config()
    config.server.port, config.server.grace = port, 0.2
    config.store.path, config.router.probes = home / "models", home / "probes.json"
    config.providers = {
        name: Provider(base_url=f"{address}/v1", models={MODEL: f"{MODEL}:{name}"})
        for name, address in providers.items()
    }
    async with build.router(config) as router, running(router, config) as address:
        yield address


async def ask(address: str, provider: str, hop: str = "") -> tuple[int, str]:
    body, headers = chat("one", model=f"{MODEL}:{provider}"), {"x-tertulia-hop": hop} if hop else {}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/v1/chat/completions", json=body, headers=headers) as reply,
    ):
        return reply.status, json.dumps(await reply.json())


async def test_a_server_that_is_its_own_provider_is_told_so(tmp_path: Path):
    port = free()
    async with serving(port, tmp_path, me=f"http://127.0.0.1:{port}") as address:
        status, said = await ask(address, "me")
    assert status == 502
    assert "me" in said
    assert "a provider leads back here" in said


async def test_two_servers_that_are_each_others_provider_are_told_so(tmp_path: Path):
    one, two = free(), free()
    async with (
        serving(one, tmp_path, me=f"http://127.0.0.1:{two}"),
        serving(two, tmp_path, me=f"http://127.0.0.1:{one}") as address,
    ):
        status, said = await ask(address, "me")
    assert status == 502
    assert "a provider leads back here" in said


async def test_a_provider_of_ones_own_is_told_where_a_request_has_been(tmp_path: Path):
    async with Upstream(whole("hello")) as up, serving(free(), tmp_path, other=up.address) as address:
        for said in ("", "a1,b2", "a1, , \xe9,b2" + ",c" * 200):
            assert (await ask(address, "other", said))[0] == 200
        hops = [request.headers["x-tertulia-hop"].split(",") for request in up.requests]
    assert hops[1] == ["a1", "b2", *hops[0]], "one server, one name"
    assert len(hops[2]) == 101
    assert hops[2][-1:] == hops[0]
