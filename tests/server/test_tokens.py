"""Tokens over HTTP: who may make them, what is told of them, and who is kept out."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from talk import Ask, Said, chat
from tertulia.config import Config
from tertulia.errors import ConfigError
from tertulia.ledger.ledger import Ledger
from tertulia.ledger.units import ahead
from tertulia.server.app import running
from tertulia.types import Spent

JSON = {"content_type": "application/json"}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncGenerator[Ledger, None]:
    async with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


@pytest.fixture
async def url(backend: Any, config: Config, ledger: Ledger) -> AsyncGenerator[str, None]:
    async with running(backend, config, ledger=ledger) as address:
        yield address


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
async def admin(ledger: Ledger) -> dict[str, str]:
    return bearer(await ledger.new("root", ("admin",)))


async def make(ask: Ask, body: Any, **headers: str) -> Said:
    return await ask(body, path="/api/tokens", **(JSON | headers))


async def test_the_first_token_is_made_at_the_open_door_and_locks_it(ask: Ask):
    before = (await ask(path="/api/tokens")).json
    assert (before["door"], before["tokens"], before["admins"]) == ("open", [], 0)
    said = await make(ask, {"name": "ana", "permissions": ["inference", "admin"], "expires": "30d", "cap": 5})
    assert said.status == 201 and said.headers["Cache-Control"] == "no-store"
    made = said.json
    assert made["token"].startswith("hf_") and made["state"] == "live"
    assert (made["name"], made["permissions"], made["cap"]) == ("ana", ["admin", "inference"], 5)
    assert made["expires"] == pytest.approx(time.time() + 30 * 86400, abs=5)
    assert (await ask(path="/api/tokens")).status == 401
    after = (await ask(path="/api/tokens", **bearer(made["token"]))).json
    assert (after["door"], after["you"], after["admins"]) == ("locked", {"id": 1, "name": "ana"}, 1)
    assert made["token"] not in str(after)
    assert (await ask(chat("hi"), **bearer(made["token"]))).status == 200


async def test_a_token_ends_after_days_or_with_a_date_or_never(ask: Ask, admin: dict[str, str]):
    ends = [
        (await make(ask, {"name": f"t{place}", "expires": said}, **admin)).json["expires"]
        for place, said in enumerate((7, 0.5, "2099-01-31", "12h", None, ""))
    ]
    now = time.time()
    wanted = [now + 7 * 86400, now + 43200, datetime(2099, 2, 1).timestamp(), now + 43200, None, None]
    assert [end and pytest.approx(end, abs=5) for end in wanted] == ends


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"name": ""}, "name", "can't be called ''"),
        ({"name": "a" * 5000}, "name", "up to 64 letters"),
        ({"name": "12"}, "name", "not digits alone"),
        ({"name": "root"}, "name", "there is a token called root"),
        ({}, None, "name"),
        ({"name": 5}, "name", "Expected `str`"),
        ({"name": "a", "permissions": []}, "permissions", "inference, admin"),
        ({"name": "a", "permissions": ["all"]}, "permissions", "inference, admin"),
        ({"name": "a", "expires": "soon"}, "expires", "30d"),
        ({"name": "a", "expires": "2001-01-01"}, "expires", "not in the future"),
        ({"name": "a", "expires": 0}, "expires", "between 1 and"),
        ({"name": "a", "expires": 1e9}, "expires", "between 1 and"),
        ({"name": "a", "cap": 0}, "cap", "no sum"),
        ({"name": "a", "cap": "much"}, "cap", "no sum"),
        ({"name": "a", "cap": True}, "cap", "Expected"),
        ({"name": "a", "admin": True}, None, "admin"),
        ([], None, "object"),
    ],
)
async def test_what_makes_no_token_is_told_by_its_field(
    ask: Ask, admin: dict[str, str], ledger: Ledger, body: Any, param: str | None, words: str
):
    said = await make(ask, body, **admin)
    assert (said.status, said.error["param"]) == (400, param)
    assert words in said.error["message"] and len(said.error["message"]) < 300
    assert len(await ledger.list()) == 1


def test_no_token_ends_in_a_year_that_calendars_dont_have():
    with pytest.raises(ConfigError, match="more than 36500 days"):
        ahead("999999w", time.time())


async def test_the_list_tells_what_each_has_used_and_may_spend(ask: Ask, admin: dict[str, str], ledger: Ledger):
    await ledger.new("ana", cap=2_000_000)
    entry = {"request_id": "r", "model": "m", "provider": "p"}
    tokens = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 250_000}
    ledger.spend(Spent(token=2, caller="ana", **entry, **tokens))
    ledger.spend(Spent(token=0, caller="local", **entry))
    async with asyncio.timeout(3):
        while not (told := (await ask(path="/api/tokens", **admin)).json)["nobody"]:
            await asyncio.sleep(0.02)
    root, ana = told["tokens"]
    assert (root["used"], root["spent"], root["cap"]) == (None, 0, None)
    assert (ana["spent"], ana["cap"]) == (0.25, 2.0)
    assert ana["used"] | {"last": 0} == {
        "requests": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost": 0.25,
        "estimated": False,
        "last": 0,
    }
    assert ana["used"]["last"] == pytest.approx(time.time(), abs=5)
    assert told["nobody"]["requests"] == 1 and told["days"] == 30


async def test_a_token_is_revoked_by_its_name_or_id_at_once(ask: Ask, admin: dict[str, str], ledger: Ledger):
    secrets = [await ledger.new("ana"), await ledger.new("b.o+b@x")]
    for which in ("ana", "3"):
        said = await ask(path=f"/api/tokens/{which}", method="DELETE", **admin)
        assert (said.status, said.json["state"]) == (200, "revoked")
    assert [(await ask(chat("hi"), **bearer(secret))).status for secret in secrets] == [401, 401]
    again = await ask(path="/api/tokens/ana", method="DELETE", **admin)
    assert again.status == 404 and "revoked already" in again.error["message"]
    nobody = await ask(path="/api/tokens/nobody", method="DELETE", **admin)
    assert nobody.status == 404 and "there is no token nobody" in nobody.error["message"]


async def test_only_admins_see_make_and_revoke_tokens(ask: Ask, ledger: Ledger):
    secret = await ledger.new("ana")
    for path, method in (("", "GET"), ("", "POST"), ("/", "GET"), ("/ana", "DELETE"), ("//ana", "DELETE")):
        said = await ask({"name": "x"}, path=f"/api/tokens{path}", method=method, **JSON, **bearer(secret))
        assert said.status == 403 and "lacks the permission admin" in said.error["message"]
        assert (await ask({"name": "x"}, path=f"/api/tokens{path}", method=method, **JSON)).status == 401
    assert [one.state(time.time()) for one in await ledger.list()] == ["live"]


async def test_other_methods_are_told_what_is_taken(ask: Ask):
    said = await ask({}, path="/api/tokens", method="PUT", **JSON)
    assert (said.status, said.headers["Allow"]) == (405, "GET, POST")
    said = await ask(path="/api/tokens/ana")
    assert (said.status, said.headers["Allow"]) == (405, "DELETE")


class TestOtherSites:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        config.server.cors = ["*"]
        return config

    @pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:3000", "null", "http://127.0.0.1"])
    async def test_a_page_of_another_origin_makes_and_sees_none_whatever_cors_says(
        self, ask: Ask, ledger: Ledger, origin: str
    ):
        assert (await make(ask, {"name": "evil"}, origin=origin)).status == 403
        assert (await ask(path="/api/tokens", origin=origin)).status == 403
        assert await ledger.list() == []

    async def test_our_own_page_makes_one(self, ask: Ask, url: str):
        assert (await make(ask, {"name": "ana"}, origin=url, sec_fetch_site="same-origin")).status == 201

    async def test_a_host_name_that_was_rebound_to_us_is_refused(self, ask: Ask, ledger: Ledger):
        for host in ("evil.example", "127.0.0.1.evil.example:8080"):
            assert (await make(ask, {"name": "evil"}, host=host, origin=f"http://{host}")).status == 403
        assert await ledger.list() == []

    async def test_a_form_of_another_page_is_refused_with_an_origin_and_without(self, ask: Ask, ledger: Ledger):
        body = b'{"name":"evil","permissions":["admin"],"expires":null,"cap":null}'
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            for more in ({}, {"origin": "null"}, {"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}):
                said = await ask(body, path="/api/tokens", content_type=kind, **more)
                assert said.status in (400, 403)
        said = await ask(body, path="/api/tokens", **JSON, sec_fetch_site="cross-site")
        assert said.status == 403
        assert await ledger.list() == []

    async def test_a_revocation_by_another_page_is_refused(self, ask: Ask, ledger: Ledger):
        await ledger.new("ana")
        said = await ask(path="/api/tokens/ana", method="DELETE", origin="http://evil.example")
        assert said.status == 401
        preflight = await ask(
            path="/api/tokens/ana",
            method="OPTIONS",
            origin="http://evil.example",
            access_control_request_method="DELETE",
        )
        assert "DELETE" not in preflight.headers.get("Access-Control-Allow-Methods", "")


class TestForAnybodyToReach:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        config.server.host, config.server.open = "0.0.0.0", True
        return config

    @pytest.fixture
    async def url(self, backend: Any, config: Config, ledger: Ledger) -> AsyncGenerator[str, None]:
        async with running(backend, config, ledger=ledger) as address:
            yield address.replace("0.0.0.0", "127.0.0.1")

    async def test_an_open_server_that_others_reach_lets_nobody_make_tokens_without_one(self, ask: Ask, ledger: Ledger):
        said = await make(ask, {"name": "evil"})
        assert said.status == 403 and "tertulia token new" in said.error["message"]
        root = bearer(await ledger.new("root", ("admin",)))
        assert (await make(ask, {"name": "ana"}, **root)).status == 201
        assert (await ask(path="/api/tokens", **root)).json["door"] == "anybody"
        assert (await ask(chat("hi"))).status == 200


class TestConfigured:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        config.server.tokens = ["a-secret-word"]
        return config

    async def test_the_configurations_tokens_are_told_by_their_hash_and_not_revoked(self, ask: Ask):
        secret = bearer("a-secret-word")
        said = await ask(path="/api/tokens", **secret)
        (one,) = said.json["configured"]
        assert one["name"].startswith("token ") and one["permissions"] == ["admin", "inference"]
        assert (said.json["door"], said.json["admins"], said.json["you"]["name"]) == ("locked", 1, one["name"])
        assert b"a-secret-word" not in said.body
        gone = await ask(path=f"/api/tokens/{one['name']}", method="DELETE", **secret)
        assert gone.status == 404
