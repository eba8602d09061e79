"""Who is let in."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from talk import Ask, chat
from tertulia.config import Config, Server
from tertulia.errors import ConfigError, Forbidden
from tertulia.server.auth import Guard, is_loopback


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1", "[::1]")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.5", "example.com", "")),
    ],
)
def test_loopback_is_what_only_this_machine_can_reach(host: str, local: bool):
    assert is_loopback(host) == local


def test_an_address_that_others_can_reach_wants_tokens_or_the_word_open(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached by others.*TERTULIA_TOKENS.*--open"):
        Guard(Server(host="0.0.0.0"))
    Guard(Server(host="0.0.0.0", tokens=["secret"]))
    Guard(Server(host="0.0.0.0", open=True))
    file = tmp_path / "tokens"
    file.write_text("# ours\n\n secret \n")
    Guard(Server(host="0.0.0.0", tokens_file=file))
    with pytest.raises(ConfigError, match="tokens_file"):
        Guard(Server(host="0.0.0.0", tokens_file=tmp_path / "none"))


class TestWithTokens:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        config.server.tokens = ["one", "two"]
        return config

    @pytest.mark.parametrize("header", ["Bearer one", "Bearer: one", "bearer two", "Bearer  one "])
    async def test_a_token_is_taken_however_the_scheme_is_spelt(self, ask: Ask, header: str):
        assert (await ask(chat("hi"), authorization=header)).status == 200

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic one", "one", "Bearer three", "Bearer one two"])
    async def test_nothing_else_is(self, ask: Ask, header: str):
        said = await ask(chat("hi"), authorization=header)
        assert (said.status, said.error["code"]) == (401, "invalid_api_key")
        assert said.headers["WWW-Authenticate"] == "Bearer"

    async def test_every_route_is_closed_but_health_and_the_description(self, ask: Ask):
        status = {
            path: (await ask(path=path)).status for path in ("/health", "/openapi.json", "/v1/models", "/metrics")
        }
        assert status == {"/health": 200, "/openapi.json": 200, "/v1/models": 401, "/metrics": 401}

    async def test_the_backend_is_told_which_token_it_was_and_not_the_token(self, ask: Ask, backend: Any):
        await ask(chat("hi"), authorization="Bearer one")
        name = backend.requests[0].caller.name
        assert name.startswith("token ") and "one" not in name

    async def test_with_a_token_the_host_name_does_not_matter(self, ask: Ask):
        assert (await ask(chat("hi"), authorization="Bearer one", host="models.example.com")).status == 200


class TestOpenLoopback:
    async def test_our_own_names_are_let_in(self, ask: Ask, url: str):
        port = url.rpartition(":")[2]
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", "localhost", f"[::1]:{port}", f"LOCALHOST:{port}"):
            assert (await ask(chat("hi"), host=host)).status == 200

    async def test_a_name_that_was_rebound_to_us_is_not(self, ask: Ask):
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"):
            said = await ask(chat("hi"), host=host)
            assert (said.status, said.error["type"]) == (403, "permission_error")

    async def test_a_page_of_another_origin_is_not(self, ask: Ask, backend: Any):
        for origin in ("http://evil.example", "null", "http://localhost:3000"):
            assert (await ask(chat("hi"), origin=origin)).status == 403
        assert backend.requests == []

    async def test_our_own_page_is(self, ask: Ask, url: str):
        said = await ask(chat("hi"), origin=url)
        assert said.status == 200 and "Access-Control-Allow-Origin" not in said.headers

    async def test_a_preflight_is_refused(self, ask: Ask):
        said = await ask(b"", method="OPTIONS", origin="http://app.example", access_control_request_method="POST")
        assert said.status == 403


class TestWithCors:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        config.server.cors = ["http://app.example"]
        return config

    async def test_the_page_that_was_named_may_ask_and_read(self, ask: Ask):
        preflight = await ask(b"", method="OPTIONS", origin="http://app.example", access_control_request_method="POST")
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "http://app.example"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        for stream in (False, True):
            said = await ask(chat("hi", stream=stream), origin="http://app.example")
            assert said.status == 200
            assert said.headers["Access-Control-Allow-Origin"] == "http://app.example"
            assert "x-request-id" in said.headers["Access-Control-Expose-Headers"]

    async def test_another_may_not(self, ask: Ask):
        assert (await ask(chat("hi"), origin="http://evil.example")).status == 403


def test_more_names_can_be_ours():
    guard = Guard(Server(hosts=["Box.local"]))
    assert guard.admit(make_mocked_request("GET", "/", headers={"Host": "box.local:8080"})).name == "local"
    with pytest.raises(Forbidden):
        guard.admit(make_mocked_request("GET", "/", headers={"Host": "other.local"}))
