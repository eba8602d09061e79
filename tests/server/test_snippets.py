"""GET and POST /api/snippets: a request as code."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from echo import Echo
from talk import Ask, chat, post
from tertulia.config import Config
from tertulia.ledger.ledger import Ledger
from tertulia.server.app import running
from tertulia.snippets.table import ROWS
from tertulia.types import Spent

PATH = "/api/snippets"
HI = chat("Hi", model="echo")


async def test_all_languages_and_clients_come_unless_one_is_named(ask: Ask):
    said = await ask({"request": HI}, PATH)
    snippets = said.json["snippets"]
    assert [(one["language"], one["client"]) for one in snippets] == [(row.language, row.client) for row in ROWS]
    assert all(set(one) == {"language", "client", "label", "install", "highlight", "code"} for one in snippets)
    one = (await ask({"request": HI, "language": "javascript", "client": "@huggingface/inference"}, PATH)).json
    assert [(found["client"], found["install"]) for found in one["snippets"]] == [
        ("huggingface", "npm install @huggingface/inference")
    ]
    assert len((await ask({"request": HI, "client": "openai"}, PATH)).json["snippets"]) == 2


async def test_a_get_tells_what_there_is(ask: Ask):
    told = (await ask(path=PATH)).json["languages"]
    assert [one["language"] for one in told] == ["python", "javascript", "shell"]
    assert told[0]["clients"][0] == {
        "client": "openai",
        "label": "openai",
        "install": "pip install openai",
        "highlight": "python",
        "extension": "py",
    }
    assert (await ask({}, PATH, "PUT")).status == 405


async def test_the_address_is_the_one_that_was_asked(ask: Ask, url: str):
    port = url.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        said = await ask({"request": HI}, PATH, Host=host)
        assert all(f"http://{host}/v1" in one["code"] for one in said.json["snippets"])


async def test_settings_and_provider_are_heeded(ask: Ask):
    settings = {"base_url": "https://elsewhere.example/v1", "token": "MY_KEY", "bill_to": "acme"}
    said = await ask({"request": HI, "provider": "groq", "settings": settings}, PATH)
    for one in said.json["snippets"]:
        for word in ("https://elsewhere.example/v1", "MY_KEY", "acme", "echo:groq"):
            assert word in one["code"], (one["label"], word)


async def test_an_empty_address_is_hugging_faces(ask: Ask):
    said = await ask({"request": HI, "client": "huggingface_hub", "settings": {"base_url": ""}}, PATH)
    assert "base_url" not in said.json["snippets"][0]["code"]
    nothing = await ask({"request": HI, "client": "curl", "settings": {"base_url": None}}, PATH)
    assert "https://router.huggingface.co/v1/chat/completions" in nothing.json["snippets"][0]["code"]


async def test_half_a_request_is_rendered_as_it_is(ask: Ask, backend: Echo):
    said = await ask({"request": {"temperature": 99, "odd": [None]}, "client": "curl"}, PATH)
    assert '"temperature": 99' in said.json["snippets"][0]["code"]
    assert not backend.requests


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "request"),
        ({"request": []}, "request"),
        ({"request": "x"}, "request"),
        ({"request": HI, "language": 1}, "language"),
        ({"request": HI, "language": "cobol"}, "language"),
        ({"request": HI, "language": "shell", "client": "fetch"}, "client"),
        ({"request": HI, "client": {}}, "client"),
        ({"request": HI, "provider": []}, "provider"),
        ({"request": HI, "provider": "a b"}, "provider"),
        ({"request": HI, "settings": []}, "settings"),
        ({"request": HI, "settings": {"base_url": 1}}, "settings.base_url"),
        ({"request": HI, "settings": {"base_url": "javascript:x"}}, "settings.base_url"),
        ({"request": HI, "settings": {"token": "hf secret"}}, "settings.token"),
        ({"request": HI, "settings": {"bill_to": "a\nb"}}, "settings.bill_to"),
        ({"request": HI, "settings": {"url": ""}}, "settings.url"),
        ({"request": HI, "lang": "python"}, "lang"),
    ],
)
async def test_what_is_wrong_is_named(ask: Ask, body: dict[str, Any], param: str):
    said = await ask(body, PATH)
    assert (said.status, said.error["param"]) == (400, param)
    assert param in said.error["message"] and "secret" not in said.error["message"]


async def test_a_body_that_is_no_object_is_refused(ask: Ask):
    for body in (b"", b"{", b"[]", b"7", b"\xff"):
        assert (await ask(body, PATH)).status == 400


class TestLimit:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        config.server.body_limit = 300_000
        return config

    async def test_a_body_has_the_bound_that_a_chat_has(self, ask: Ask):
        long = await ask({"request": chat("x" * 299_000)}, PATH)
        assert long.status == 200 and all("x" * 299_000 in one["code"] for one in long.json["snippets"])
        assert (await ask({"request": chat("x" * 300_000)}, PATH)).status == 413


async def test_long_requests_take_turns_and_hold_nobody_else_up(ask: Ask):
    long = {"request": {"messages": [{"role": "user", "content": "x"}] * 2_500}}
    order: list[str] = []

    async def say(name: str, *what: Any) -> int:
        status = (await ask(*what)).status
        order.append(name)
        return status

    longs = [asyncio.ensure_future(say("long", long, PATH)) for _ in range(12)]
    await asyncio.sleep(0.2)
    assert await say("quick", {"request": HI}, PATH) == 200
    statuses = await asyncio.gather(*longs)
    assert statuses.count(200) == 9 and statuses.count(429) == 3, "one is written, eight wait"
    assert order.index("quick") <= 5


async def test_who_hangs_up_leaves_the_turn_to_the_next(connect: Any, ask: Ask):
    _, writer = await connect(post({"request": {"messages": [{"role": "user", "content": "x"}] * 2_500}}, PATH))
    await asyncio.sleep(0.1)
    writer.transport.abort()
    assert (await ask({"request": chat("x" * 70_000)}, PATH)).status == 200


async def test_who_has_spent_all_may_still_ask_for_code(config: Config, tmp_path: Path, http: aiohttp.ClientSession):
    async with Ledger(tmp_path / "ledger.db") as ledger:
        poor, admin = await ledger.new("poor", cap=1), await ledger.new("root", ("admin",))
        token = ledger.find(poor)
        assert token
        ledger.spend(Spent(request_id="r", token=token.id, caller="poor", model="m", provider="p", cost=2))
        async with running(Echo(), config, ledger=ledger) as url:

            async def ask(path: str, body: Any, bearer: str) -> tuple[int, Any]:
                headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
                async with http.post(url + path, data=json.dumps(body), headers=headers) as reply:
                    return reply.status, await reply.json()

            assert (await ask("/v1/chat/completions", HI, poor))[0] == 402
            status, told = await ask(PATH, {"request": HI}, poor)
            assert status == 200
            assert not [one for one in told["snippets"] if "none" in one["code"]], "who has a token needs no stand-in"
            assert (await ask(PATH, {"request": HI}, ""))[0] == 401
            assert (await ask(PATH, {"request": HI}, admin))[0] == 403
