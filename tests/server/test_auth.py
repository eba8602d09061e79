"""Who is let in."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from echo import Echo
from router_setup import Far, party
from talk import Ask, chat
from tertulia.config import Config, Server
from tertulia.config import Router as Settings
from tertulia.errors import Busy, ConfigError, Forbidden, Unauthorized, Upstream
from tertulia.ledger.ledger import Ledger
from tertulia.router.index import Index
from tertulia.router.router import Router
from tertulia.server.app import running
from tertulia.server.auth import Guard, is_loopback
from tertulia.types import Spent


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


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncGenerator[Ledger, None]:
    async with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


class TestWithALedger:
    @pytest.fixture
    async def url(self, backend: Any, config: Config, ledger: Ledger) -> AsyncGenerator[str, None]:
        async with running(backend, config, ledger=ledger) as address:
            yield address

    async def test_the_first_token_closes_the_door_for_good(self, ask: Ask, ledger: Ledger):
        assert (await ask(chat("hi"))).status == 200
        secret = await ledger.new("ana")
        said = await ask(chat("hi"))
        assert said.status == 401 and "Authorization: Bearer TOKEN" in said.error["message"]
        assert (await ask(chat("hi"), **bearer(secret))).status == 200
        assert (await ask(chat("hi"), authorization=f"Bearer: {secret}")).status == 200
        await ledger.revoke("ana")
        assert (await ask(chat("hi"))).status == 401

    async def test_an_unknown_token_is_told_where_the_known_ones_are(self, ask: Ask, ledger: Ledger):
        await ledger.new("ana")
        said = await ask(chat("hi"), **bearer("hf_" + "x" * 34))
        assert said.status == 401 and "tertulia token list" in said.error["message"]

    async def test_one_of_the_configuration_is_as_good(self, config: Config, backend: Any, ledger: Ledger):
        guard = Guard(Server(tokens=["one"]), ledger)
        guest = guard.admit(asking("one"), admin=True)
        assert (guest.token, guest.permissions) == (0, {"inference", "admin"})

    async def test_a_revoked_token_is_refused_at_once(self, ask: Ask, ledger: Ledger):
        secret = await ledger.new("ana")
        await ledger.new("bob")
        assert (await ask(chat("hi"), **bearer(secret))).status == 200
        await ledger.revoke("ana")
        said = await ask(chat("hi"), **bearer(secret))
        assert (said.status, said.error["code"]) == (401, "invalid_api_key")
        assert "this token was revoked" in said.error["message"]

    async def test_the_last_token_is_refused_too_once_it_is_revoked(self, ask: Ask, ledger: Ledger):
        secret = await ledger.new("ana")
        await ledger.revoke("ana")
        assert (await ask(chat("hi"), **bearer(secret))).status == 401

    async def test_an_expired_one_is_refused_and_opens_no_door(self, ask: Ask, ledger: Ledger):
        secret = await ledger.new("ana", expires=time.time() + 0.5)
        assert (await ask(chat("hi"), **bearer(secret))).status == 200
        await asyncio.sleep(0.5)
        said = await ask(chat("hi"), **bearer(secret))
        assert said.status == 401 and "this token has expired" in said.error["message"]
        assert (await ask(chat("hi"))).status == 401

    async def test_metrics_and_status_need_the_permission_admin(self, ask: Ask, ledger: Ledger):
        secret, admin = await ledger.new("ana"), await ledger.new("root", ("admin",))
        for path in ("/metrics", "/status", "/metrics/", "/status//"):
            said = await ask(path=path, **bearer(secret))
            assert (said.status, said.error["type"]) == (403, "permission_error")
            assert "lacks the permission admin" in said.error["message"]
            assert (await ask(path=path, **bearer(admin))).status in (200, 404)
        assert (await ask(path="/v1/models", **bearer(secret))).status == 200

    async def test_admin_alone_asks_no_models(self, ask: Ask, ledger: Ledger):
        admin = await ledger.new("root", ("admin",))
        said = await ask(chat("hi"), **bearer(admin))
        assert said.status == 403 and "lacks the permission inference" in said.error["message"]

    async def test_who_has_spent_the_cap_may_look_and_not_ask(self, ask: Ask, ledger: Ledger, backend: Any):
        secret = await ledger.new("ana", cap=2_000_000)
        await ask(chat("hi"), **bearer(secret))
        caller = backend.requests[0].caller
        entry = Spent(request_id="r", token=caller.token, caller=caller.name, model="m", provider="p", cost=2_100_000)
        ledger.spend(entry)
        said = await ask(chat("hi"), **bearer(secret))
        assert (said.status, said.error["code"]) == (402, "spend_cap_reached")
        assert "$2.10 of the $2.00" in said.error["message"]
        assert (await ask(path="/v1/models", **bearer(secret))).status == 200
        assert len(backend.requests) == 1

    async def test_the_backend_is_told_the_tokens_name_and_id_and_never_the_token(
        self, ask: Ask, ledger: Ledger, backend: Any
    ):
        await ledger.new("bob")
        await ask(chat("hi"), **bearer(await ledger.new("ana")))
        caller = backend.requests[0].caller
        assert (caller.name, caller.token, caller.bearer) == ("ana", 2, "")

    async def test_without_tokens_what_is_shown_goes_on_to_the_backend(self, ask: Ask, backend: Any):
        await ask(chat("hi"), **bearer("hf_of_hugging_face"))
        caller = backend.requests[0].caller
        assert (caller.name, caller.token, caller.bearer) == ("local", 0, "hf_of_hugging_face")

    async def test_a_page_of_another_site_cant_ask_without_a_token_nor_with_one_it_made_up(self, ask: Ask):
        for said in ({}, bearer("hf_made_up")):
            assert (await ask(chat("hi"), origin="http://evil.example", **said)).status == 403


async def test_what_a_router_answers_is_in_the_log_under_the_callers_token(
    ledger: Ledger, config: Config, http: aiohttp.ClientSession
):
    """Whole, failed over, broken off and cancelled; the cap is met by what the router says it cost."""
    dear = party("dear", price=(1.0, 2.0))
    weak = party("weak", Far(Upstream("it broke"), Busy("full"), Upstream("again")), models=("org/weak",))
    more = party("more", models=("org/weak",))
    index = Index(Echo(), [dear, weak, more], (), {})
    router = Router(index, Settings(order=["weak", "more"], policy="preferred", retry_budget=1), spend=ledger.spend)
    secret = await ledger.new("ana", cap=15)

    async def ask(model: str, content: str = "one two three", **fields: Any) -> int:
        async with http.post(url, json=chat(content, model=model, **fields), headers=bearer(secret)) as reply:
            await reply.read()
            return reply.status

    async with running(router, config, ledger=ledger) as address:
        url = f"{address}/v1/chat/completions"
        assert await ask("org/weak") == 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask("org/far:dear", "one !9 two", stream=True), 0.2)
        assert await ask("org/far:dear", "!long") == 400
        assert [await ask("org/far:dear") for _ in range(3)] == [200, 200, 402]
        await asyncio.sleep(0.5)
        (total,) = await ledger.sums(0, "token")
        assert (total.key, total.requests) == ("ana (1)", 5)
        assert total.outcomes == {"ok": 3, "failed_over": 1, "cancelled": 1, "context_length_exceeded": 1}
        providers = {one.key: one for one in await ledger.sums(0, "provider")}
        assert providers["dear"].cost >= 2 * (3 * 1 + 3 * 2) and providers["dear"].outcomes["ok"] == 2
        assert (providers["weak"].outcomes, providers["more"].outcomes) == ({"failed_over": 1}, {"ok": 1})


class TestOpenWithALedger:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        config.server.open = True
        return config

    @pytest.fixture
    async def url(self, backend: Any, config: Config, ledger: Ledger) -> AsyncGenerator[str, None]:
        async with running(backend, config, ledger=ledger) as address:
            yield address

    async def test_nobody_needs_a_token_and_a_known_one_counts(self, ask: Ask, ledger: Ledger, backend: Any):
        secret = await ledger.new("ana", cap=1)
        for headers in ({}, bearer("unknown"), bearer("hf_unknown"), {"authorization": "Basic x"}, bearer(secret)):
            assert (await ask(chat("hi"), **headers)).status == 200
        assert [request.caller.name for request in backend.requests] == ["local"] * 4 + ["ana"]
        ledger.spend(Spent(request_id="r", token=1, caller="ana", model="m", provider="p", cost=1))
        assert (await ask(chat("hi"), **bearer(secret))).status == 402

    async def test_who_has_spent_a_cap_can_still_do_what_costs_nothing(self, ask: Ask, ledger: Ledger):
        secret = await ledger.new("ana", ("admin",), cap=1)
        ledger.spend(Spent(request_id="r", token=1, caller="ana", model="m", provider="p", cost=1))
        headers = bearer(secret) | {"content-type": "application/json"}
        assert (await ask({"name": "ben"}, "/api/tokens", **headers)).status == 201

    async def test_what_is_for_admins_is_still_for_them_alone(self, ask: Ask, ledger: Ledger):
        assert (await ask(path="/metrics")).status == 200
        secret = await ledger.new("ana", ("admin",))
        said = await ask(path="/metrics")
        assert said.status == 401 and "permission admin" in said.error["message"]
        assert (await ask(path="/metrics", **bearer(secret))).status == 200

    async def test_a_revoked_token_is_told_so(self, ask: Ask, ledger: Ledger):
        secret = await ledger.new("ana")
        await ledger.revoke("ana")
        assert (await ask(chat("hi"), **bearer(secret))).status == 401


async def test_a_token_of_the_ledger_suffices_for_an_address_that_others_can_reach(ledger: Ledger):
    server = Server(host="0.0.0.0")
    with pytest.raises(ConfigError, match="tertulia token new"):
        Guard(server, ledger)
    secret = await ledger.new("ana")
    guard = Guard(server, ledger)
    assert guard.admit(asking(secret)).name == "ana"
    await ledger.revoke("ana")
    for headers in ({}, {"Authorization": "Bearer x"}):  # it was closed, and stays so without any token
        with pytest.raises(Unauthorized):
            guard.admit(make_mocked_request("GET", "/", headers=headers))


def asking(secret: str) -> web.Request:
    return make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {secret}"})


def test_more_names_can_be_ours():
    guard = Guard(Server(hosts=["Box.local"]))
    assert guard.admit(make_mocked_request("GET", "/", headers={"Host": "box.local:8080"})).name == "local"
    with pytest.raises(Forbidden):
        guard.admit(make_mocked_request("GET", "/", headers={"Host": "other.local"}))
