"""The proxy of `tertulia run`, on real sockets: whom it answers for, whom it lets through, and who must not use it."""

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from tertulia import intercept
from tertulia.commands.errand import trust, variables
from tertulia.errors import ConfigError
from tertulia.intercept import HOSTS, Proxy

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
USUAL = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class Server:
    """What stands where Tertulia's server does: the parts of it that the clients ask for, and what they asked."""

    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.method, request.host, request.raw_path))
        self.bodies.append(body)
        if request.path.startswith("/api/models/"):
            mapping = {"status": "live", "providerId": "there/llama", "task": "conversational"}
            return web.json_response({"id": MODEL, "inferenceProviderMapping": {"featherless-ai": mapping}})
        if request.path == "/large":
            return web.Response(body=body + bytes(3_000_000))
        if not request.path.endswith("/chat/completions"):
            return web.json_response({"error": "not here"}, status=404)
        message = {"role": "assistant", "content": "Paris"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return web.json_response(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "stand-in", "choices": [choice]}
        )


@pytest.fixture
async def server() -> AsyncGenerator[Server, None]:
    there = Server()
    runner = web.ServerRunner(web.Server(there))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    there.url = f"http://127.0.0.1:{site.port}"
    yield there
    await runner.cleanup()


@pytest.fixture
async def proxy(server: Server, tmp_path: Path) -> AsyncGenerator[Proxy, None]:
    async with Proxy(server.url, tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def elsewhere() -> AsyncGenerator[int, None]:
    """The port of somebody else on the network, who says back what he is told, in capitals, once all is said."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()


def login(url: str) -> str:
    return url.removeprefix("http://").partition("@")[0]


async def talk(url: str, said: bytes) -> bytes:
    """Everything that the proxy answers to ``said`` and the end of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(said)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


def connect(url: str, where: str, method: str = "CONNECT") -> bytes:
    return (
        f"{method} {where} HTTP/1.1\r\nProxy-Authorization: {intercept._basic(*login(url).split(':'))}\r\n\r\n".encode()
    )


async def client(code: str, proxy: Proxy, server: Server, room: Path, *program: str, **more: str) -> str:
    """What a program prints that runs as `tertulia run` would have it run."""
    environ = USUAL | {"HF_HOME": str(room / "hf")} | more
    env = environ | variables(environ, server.url, proxy.url) | trust(environ, proxy.authority, room)
    argv = [*(program or (sys.executable, "-c")), code]
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, errors.decode()
    return out.decode().strip()


class TestClients:
    """Programs with Hugging Face's addresses written into them."""

    async def test_huggingface_hub_comes_here(self, proxy: Proxy, server: Server, tmp_path: Path):
        code = f"""
import os
from huggingface_hub import InferenceClient
client = InferenceClient(provider="featherless-ai", api_key=os.environ["HF_TOKEN"])
print(client.chat.completions.create(model={MODEL!r}, messages=[{{"role": "user", "content": "?"}}]).model)
"""
        assert await client(code, proxy, server, tmp_path) == "stand-in"
        assert ("POST", HOSTS[0], "/featherless-ai/v1/chat/completions") in server.asked
        assert json.loads(server.bodies[-1])["model"] == "there/llama"

    async def test_openai_comes_here(self, proxy: Proxy, server: Server, tmp_path: Path):
        code = """
import os, openai
client = openai.OpenAI(base_url="https://router.huggingface.co/v1", api_key=os.environ["HF_TOKEN"])
print(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}]).model)
print(openai.OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}]).model)
"""
        assert await client(code, proxy, server, tmp_path) == "stand-in\nstand-in"
        near = server.url.removeprefix("http://")
        assert [host for _, host, _ in server.asked] == [HOSTS[0], near], "the second without any address of its own"

    async def test_requests_comes_here(self, proxy: Proxy, server: Server, tmp_path: Path):
        pytest.importorskip("requests")
        code = """
import requests
print(requests.post("https://router.huggingface.co/v1/chat/completions", json={}, timeout=10).json()["model"])
"""
        assert await client(code, proxy, server, tmp_path) == "stand-in"

    async def test_the_standard_library_comes_here(self, proxy: Proxy, server: Server, tmp_path: Path):
        code = f"""
import json, urllib.request
print(json.load(urllib.request.urlopen("https://huggingface.co/api/models/{MODEL}?expand=x", timeout=10))["id"])
"""
        assert await client(code, proxy, server, tmp_path) == MODEL
        assert server.asked == [("GET", HOSTS[1], f"/api/models/{MODEL}?expand=x")]

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    async def test_curl_comes_here(self, proxy: Proxy, server: Server, tmp_path: Path):
        url = "https://router.huggingface.co/v1/chat/completions"
        said = await client(url, proxy, server, tmp_path, "curl", "-sS", "-d", "{}")
        assert json.loads(said)["model"] == "stand-in"

    @pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
    async def test_nodes_fetch_comes_here_and_goes_elsewhere_as_ever(
        self, proxy: Proxy, server: Server, tmp_path: Path
    ):
        code = f"""
const url = "https://router.huggingface.co/v1/chat/completions?a=%20b";
const asked = {{ method: "POST", body: "{{}}", headers: {{ "x-own": "1" }} }};
console.log((await (await fetch(url, asked)).json()).model);
console.log((await (await fetch(new URL(url), asked)).json()).model);
console.log((await (await fetch(new Request(url, asked))).json()).model);
console.log((await fetch("https://huggingface.co//api/models/x")).status);
console.log((await fetch("{server.url}/api/models/y")).status);
console.log((await fetch("no address").catch((error) => error)).name);
"""
        said = await client(code, proxy, server, tmp_path, "node", "--input-type=module", "-e")
        assert said.split() == ["stand-in", "stand-in", "stand-in", "404", "200", "TypeError"]
        assert server.bodies[:3] == [b"{}"] * 3
        assert {path for method, _, path in server.asked if method == "POST"} == {"/v1/chat/completions?a=%20b"}

    async def test_much_is_sent_and_answered_whole(self, proxy: Proxy, server: Server, tmp_path: Path):
        code = """
import urllib.request
print(len(urllib.request.urlopen("https://huggingface.co/large", b"x" * 1_000_000, timeout=10).read()))
"""
        assert await client(code, proxy, server, tmp_path) == "4000000"

    async def test_two_requests_of_one_connection_are_both_answered(self, proxy: Proxy, server: Server, tmp_path: Path):
        code = """
import httpx2
with httpx2.Client() as client:
    for _ in range(2):
        print(client.post("https://router.huggingface.co/v1/chat/completions", json={}).json()["model"])
"""
        assert await client(code, proxy, server, tmp_path) == "stand-in\nstand-in"

    async def test_a_folder_with_a_space_and_a_proxy_of_the_users_own_make_no_difference(
        self, proxy: Proxy, server: Server, tmp_path: Path
    ):
        room = tmp_path / "a room"
        room.mkdir()
        code = 'import urllib.request as u; print(u.urlopen("https://huggingface.co/api/models/x").status)'
        assert await client(code, proxy, server, room, HTTPS_PROXY="http://me:pw@192.0.2.1:1") == "200"


class TestTunnels:
    async def test_another_host_is_reached_and_every_byte_goes_both_ways(self, proxy: Proxy, elsewhere: int):
        words = b"some words " * 100_000
        said = await talk(proxy.url, connect(proxy.url, f"127.0.0.1:{elsewhere}") + words)
        head, _, rest = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert rest == words.upper()

    async def test_a_name_that_begins_like_ours_is_not_answered_for(self, proxy: Proxy, server: Server):
        said = await talk(proxy.url, connect(proxy.url, "huggingface.co.localhost:443"))
        assert said.startswith(b"HTTP/1.1 502")
        assert server.asked == []

    async def test_who_can_t_be_reached_is_told(self, proxy: Proxy):
        said = await talk(proxy.url, connect(proxy.url, "127.0.0.1:1"))
        assert said.startswith(b"HTTP/1.1 502")
        assert b"127.0.0.1:1 can't be reached" in said

    async def test_the_users_own_proxy_is_gone_through(
        self, proxy: Proxy, server: Server, elsewhere: int, tmp_path: Path
    ):
        async with Proxy(server.url, tmp_path, beyond=proxy.url) as near:
            said = await talk(near.url, connect(near.url, f"127.0.0.1:{elsewhere}") + b"words")
            assert said.endswith(b"WORDS")
            refused = await talk(near.url, connect(near.url, "127.0.0.1:1"))
            assert b"the proxy at 127.0.0.1 answered HTTP/1.1 502" in refused

    async def test_a_proxy_of_another_kind_is_refused(self, server: Server, tmp_path: Path):
        with pytest.raises(ConfigError, match="socks5"):
            Proxy(server.url, tmp_path, beyond="socks5://127.0.0.1:1")

    async def test_open_tunnels_end_with_the_proxy(self, server: Server, elsewhere: int, tmp_path: Path):
        async with Proxy(server.url, tmp_path) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
            writer.write(connect(proxy.url, f"127.0.0.1:{elsewhere}"))
            await reader.readuntil(b"\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()


class TestStrangers:
    async def test_nobody_gets_through_without_the_password(self, proxy: Proxy, elsewhere: int):
        for where in (f"127.0.0.1:{elsewhere}", f"{HOSTS[0]}:443"):
            said = await talk(proxy.url, f"CONNECT {where} HTTP/1.1\r\n\r\n".encode())
            assert said.startswith(b"HTTP/1.1 407")
        wrong = connect(proxy.url.replace("run:", "run:0"), f"{HOSTS[0]}:443")
        assert (await talk(proxy.url, wrong)).startswith(b"HTTP/1.1 407")

    async def test_what_is_no_tunnel_is_refused(self, proxy: Proxy):
        assert (await talk(proxy.url, connect(proxy.url, "http://x/", "GET"))).startswith(b"HTTP/1.1 501")
        assert (await talk(proxy.url, connect(proxy.url, "host:port"))).startswith(b"HTTP/1.1 501")
        assert (await talk(proxy.url, b"CONNECT " + b"x" * 100_000)).startswith(b"HTTP/1.1 431")
        assert await talk(proxy.url, b"CONNECT x") == b""

    async def test_the_certificate_is_for_two_names_and_trusted_by_nobody_else(self, proxy: Proxy):
        port = int(proxy.url.rpartition(":")[2])
        for trusted in (True, False):
            context = ssl.create_default_context(cadata=proxy.authority.decode() if trusted else None)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(connect(proxy.url, f"{HOSTS[0]}:443"))
            await reader.readuntil(b"\r\n\r\n")
            if trusted:
                await writer.start_tls(context, server_hostname=HOSTS[0])
                certificate = writer.get_extra_info("peercert")
                assert [name for _, name in certificate["subjectAltName"]] == list(HOSTS)
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await writer.start_tls(context, server_hostname=HOSTS[0])
            writer.close()

    async def test_no_key_is_left_in_the_room(self, proxy: Proxy, tmp_path: Path):
        trust({}, proxy.authority, tmp_path)
        assert [file.name for file in tmp_path.iterdir() if b"PRIVATE KEY" in file.read_bytes()] == []


class TestSurroundings:
    """What the command finds in its environment."""

    def test_what_is_set_stays_set_and_what_is_not_gets_a_token_that_clients_route_by(self):
        new = variables({}, "http://127.0.0.1:1", "http://p")
        assert new["HF_TOKEN"].startswith("hf_")
        assert (new["HF_ENDPOINT"], new["OPENAI_BASE_URL"]) == ("http://127.0.0.1:1", "http://127.0.0.1:1/v1")
        said = {"HF_TOKEN": "hf_mine", "OPENAI_BASE_URL": "https://mine", "OPENAI_API_KEY": "mine"}
        assert not said.keys() & variables(said, "http://127.0.0.1:1", "http://p")

    def test_names_that_would_keep_our_hosts_from_the_proxy_go_and_others_stay(self):
        said = {"NO_PROXY": "intranet, .huggingface.co,*,router.huggingface.co:443,co,10.0.0.0/8"}
        assert variables(said, "a", "p")["NO_PROXY"] == "intranet,10.0.0.0/8,localhost,127.0.0.1,::1"

    def test_what_node_is_told_already_stays(self):
        assert variables({"NODE_OPTIONS": "--no-warnings"}, "a", "p")["NODE_OPTIONS"].startswith("--no-warnings --req")

    def test_a_client_trusts_what_it_did_and_us(self, tmp_path: Path):
        own = tmp_path / "own.pem"
        own.write_bytes(b"own")
        files = trust({"CURL_CA_BUNDLE": str(own), "NODE_EXTRA_CA_CERTS": str(own)}, b"ours", tmp_path)
        assert Path(files["CURL_CA_BUNDLE"]).read_bytes() == b"own\nours"
        assert Path(files["NODE_EXTRA_CA_CERTS"]).read_bytes() == b"own\nours"
        assert Path(files["SSL_CERT_FILE"]).read_bytes().endswith(b"ours")
        assert len(Path(files["SSL_CERT_FILE"]).read_bytes()) > 1000, "the system's are in it"

    def test_node_and_python_mean_the_same_hosts(self):
        shim = Path(intercept.__file__).with_name("shim.cjs").read_text()
        assert f"new Set({json.dumps(list(HOSTS))})" in shim
