"""What /status tells, and what it keeps to itself."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from echo import Echo
from router_setup import Far, party
from talk import Ask, chat
from tertulia import __version__
from tertulia.config import Config
from tertulia.config import Router as Settings
from tertulia.errors import BadRequest, Busy, Unauthorized, Upstream
from tertulia.ledger.ledger import Ledger
from tertulia.providers.child import Vitals
from tertulia.router.index import Index
from tertulia.router.router import Router
from tertulia.server.app import running
from tertulia.server.status import ROOM, read

SECRET = "do not repeat this"
CHATS = "/v1/chat/completions"


class Home(Echo):
    """A machine with one engine, which tells of itself."""

    slow = 0.0

    def tell(self) -> list[Vitals]:
        return [Vitals("test/echo", "ready", 1_700_000_000.0, 5 << 20, 1, "it was killed by SIGKILL")]

    async def metrics(self) -> str:
        await asyncio.sleep(self.slow)
        return (
            "# TYPE tertulia_engine_info gauge\n"
            'tertulia_engine_info{model="test/echo",openvino="2026.4.1",cpu="A, \\"B\\" C",weights="int8"} 1\n'
            "# TYPE tertulia_engine_queue_length gauge\n"
            'tertulia_engine_queue_length{model="test/echo"} 2\n'
            "# TYPE tertulia_engine_cached_tokens_total counter\n"
            'tertulia_engine_cached_tokens_total{model="test/echo"} 64\n'
        )


@pytest.fixture
def far() -> Far:
    return Far(Upstream(f"500: what you said, {SECRET}, broke me"), Busy("full"))


@pytest.fixture
def backend(far: Far) -> Router:
    parties = [party("weak", far), party("strong", price=(1.0, 2.0)), party("poor", why="there is no key for it")]
    return Router(Index(Home(), parties, (), {}), Settings(order=["weak", "strong"], policy="preferred"))


@pytest.fixture
async def url(backend: Router, config: Config) -> AsyncGenerator[str, None]:
    async with running(backend, config) as address:
        yield address


async def status(ask: Ask, **headers: str) -> Any:
    said = await ask(path="/status", **headers)
    assert said.status == 200
    assert (said.headers["Cache-Control"], said.headers["Vary"]) == ("no-store", "Accept")
    return said.json


async def test_it_tells_the_version_since_when_and_how_much_there_is_to_do(ask: Ask):
    told = await status(ask)
    assert told["version"] == __version__ and told["ready"] is True
    assert 0 <= told["now"] - told["started"] < 60
    assert told["in_flight"] == 0 and told["memory"] > 1 << 20
    assert told["retries"] == told["reserve"] == 100
    assert told["requests"] == []


async def test_it_tells_of_each_engine_from_its_own_figures(ask: Ask):
    (model,) = (await status(ask))["models"]
    assert model["id"] == "test/echo"
    assert model["process"] | {} == {
        "id": "test/echo",
        "state": "ready",
        "since": 1_700_000_000.0,
        "memory": 5 << 20,
        "deaths": 1,
        "why": "it was killed by SIGKILL",
    }
    assert model["engine"] == {
        "info": {"openvino": "2026.4.1", "cpu": 'A, "B" C', "weights": "int8"},
        "queue_length": 2,
        "cached_tokens": 64,
    }


async def test_an_engine_that_is_too_busy_to_tell_leaves_its_figures_unknown(
    ask: Ask, backend: Router, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tertulia.server.status.WAIT", 0.05)
    monkeypatch.setattr(Home, "slow", 5)
    told = await status(ask)
    assert told["engines_told"] is False
    assert told["models"][0]["engine"] is None and told["models"][0]["process"]["state"] == "ready"


async def test_a_request_is_told_with_its_route_and_figures(ask: Ask):
    said = await ask(chat(f"one {SECRET}", model="org/far", stream=True), x_request_id="r-1")
    assert said.status == 200
    (one,) = (await status(ask))["requests"]
    assert (one["id"], one["model"], one["provider"], one["status"]) == ("r-1", "org/far", "strong", 200)
    assert (one["outcome"], one["caller"], one["stream"]) == ("ok", "local", True)
    assert one["when"] == pytest.approx(time.time(), abs=5)
    assert 0 < one["first"] <= one["seconds"] < 5
    assert (one["prompt_tokens"], one["completion_tokens"]) == (5, 5)
    assert one["cost"] == pytest.approx((5 * 1 + 5 * 2) / 1_000_000)
    assert [(step["provider"], step["outcome"], step["why"]) for step in one["attempts"]] == [
        ("weak", "failed", "502"),
        ("strong", "served", ""),
    ]


async def test_nothing_that_was_said_is_kept_nor_any_token(ask: Ask, far: Far):
    far.faults = [Upstream(SECRET), BadRequest(SECRET)]
    await ask(chat(SECRET, model="org/far"), authorization="Bearer hf_secret")
    await ask(chat(SECRET, model="org/far:weak", user=SECRET), authorization="Bearer hf_secret")
    told = json.dumps(await status(ask))
    assert told.count('"invalid_request_error"') == 1
    assert SECRET not in told and "hf_secret" not in told


async def test_what_failed_is_told_too_and_what_is_unknown_is_null(ask: Ask, far: Far):
    far.faults = [Unauthorized("our key is no good")] * 2
    assert (await ask(chat("hi", model="org/none"))).status == 404
    said = await ask(chat("hi", model="org/far:weak"))
    assert (said.status, said.headers["WWW-Authenticate"]) == (401, 'Bearer realm="provider"')  # not our door's
    await ask(path="/v1/models")
    denied, missing = (await status(ask))["requests"]
    assert (missing["status"], missing["outcome"], missing["attempts"]) == (404, "model_not_found", [])
    assert (denied["status"], denied["outcome"], denied["provider"]) == (401, "invalid_api_key", "")
    assert [step["why"] for step in denied["attempts"]] == ["401"]
    for one in (denied, missing):
        assert [one[name] for name in ("first", "prompt_tokens", "completion_tokens", "cost")] == [None] * 4


async def test_providers_are_told_with_their_last_failure_and_their_speed(ask: Ask):
    await ask(chat("one two three", model="org/far", stream=True))
    await ask(chat("one two three", model="org/far", stream=True))
    told = await status(ask)
    providers = {one["name"]: one for one in told["providers"]}
    assert list(providers) == ["local", "weak", "strong", "poor"]
    assert providers["poor"]["why"] == "there is no key for it" and providers["poor"]["asked"] == []
    (weak,), (strong,) = providers["weak"]["asked"], providers["strong"]["asked"]
    assert (weak["model"], weak["failures"], weak["error"]) == ("weak-far", 2, "queue_full")
    assert 0 <= weak["error_ago"] < 5 and weak["rest"] is None
    assert strong["latency"] > 0 and strong["speed"] > 0 and strong["failures"] == 0 and strong["error"] == ""
    assert told["retries"] < 100


async def test_a_provider_that_rests_is_told_for_how_long(ask: Ask, far: Far):
    far.faults = [Busy("full", retry_after=60)]
    await ask(chat("hi", model="org/far"))
    (weak,) = {one["name"]: one for one in (await status(ask))["providers"]}["weak"]["asked"]
    assert 50 < weak["rest"] <= 60


async def test_the_last_hundred_are_kept_the_newest_first(ask: Ask):
    for number in range(ROOM + 3):
        await ask(b"no json", path=CHATS, x_request_id=f"r-{number}")
    kept = [one["id"] for one in (await status(ask))["requests"]]
    assert kept == [f"r-{number}" for number in range(ROOM + 2, 2, -1)]


async def test_an_answer_that_its_client_left_is_told_so(url: str, ask: Ask, connect: Any):
    from talk import post

    reader, writer = await connect(post(chat("one !9 two", model="org/far:strong", stream=True)))
    await reader.readuntil(b"one")
    writer.transport.abort()
    async with asyncio.timeout(3):
        while not (requests := (await status(ask))["requests"]):
            await asyncio.sleep(0.01)
    assert (requests[0]["status"], requests[0]["outcome"], requests[0]["cost"]) == (499, "hung_up", None)


async def test_a_caller_is_told_by_the_tokens_name_and_only_to_admins(config: Config, http: Any, tmp_path: Path):
    async with Ledger(tmp_path / "ledger.db") as ledger:
        ana, root = await ledger.new("ana"), await ledger.new("root", ("admin",))
        router = Router(Index(Echo(), [], (), {}), Settings())
        async with running(router, config, ledger=ledger) as address:

            async def get(path: str, secret: str, **more: Any) -> Any:
                async with http.request(url=address + path, headers=bearer(secret), **more) as reply:
                    return reply.status, await reply.json()

            def bearer(secret: str) -> dict[str, str]:
                return {"Authorization": f"Bearer {secret}"}

            assert (await get(CHATS, ana, method="POST", json=chat("hi")))[0] == 200
            code, told = await get("/status", ana, method="GET")
            assert code == 403 and "lacks the permission admin" in told["error"]["message"]
            code, told = await get("/status", root, method="GET")
            assert (code, told["requests"][0]["caller"], told["lost_entries"]) == (200, "ana", 0)
            assert ana not in json.dumps(told)


def test_figures_without_a_model_are_nobodys():
    assert read("# TYPE tertulia_engine_things gauge\ntertulia_engine_things 3\nother 4\n") == {}
