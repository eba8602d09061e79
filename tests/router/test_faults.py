"""What a client gets of each thing that goes wrong with a provider, over real sockets: never a silent end, never a
hang, never two answers."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from router_setup import Setup, setup
from talk import Said
from tertulia.config import Config
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.providers.table import Row
from tertulia.router.index import Party
from tertulia.server.app import running
from upstream import (
    CUT,
    DONE,
    PING,
    RESET,
    STALL,
    Script,
    Upstream,
    answer,
    completion,
    delta,
    event,
    finish,
    refusal,
    script,
    text,
    tokens,
    usage,
    whole,
)
from upstream import stream as streamed

__all__ = ["setup"]
MODEL = "org/far"
Gateway = Callable[..., Awaitable[str]]
FIRST = 0.4
IDLE = 0.3


@pytest.fixture
async def gateway(setup: Setup) -> AsyncGenerator[Gateway, None]:
    """Serve a router over these providers, named ``p0``, ``p1`` ..., and tell its address."""
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(Net())

        async def serve(*ups: Upstream, **settings: Any) -> str:
            parties = [_party(net, f"p{place}", up) for place, up in enumerate(ups)]
            config = Config()
            config.server.port, config.server.grace = 0, 0.1
            return await stack.enter_async_context(running(setup.router(*parties, **settings), config))

        yield serve


def _party(net: Net, name: str, up: Upstream) -> Party:
    row = Row(name=name, base_url=up.address, models={MODEL: "up/model"})
    remote = Remote(
        net, row.base_url, name=name, row=row, key="sk-secret", first_timeout=FIRST, idle_timeout=IDLE, whole_timeout=1
    )
    return Party(name=name, backend=remote, models=row.models)


async def ask(address: str, stream: bool = True, model: str = MODEL, **fields: Any) -> Said:
    """Ask, within five seconds."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream, **fields}
    async with (
        asyncio.timeout(5),
        aiohttp.ClientSession() as session,
        session.post(f"{address}/v1/chat/completions", data=json.dumps(body)) as reply,
    ):
        return Said(reply.status, reply.headers, await reply.read())


def content(said: Said, stream: bool) -> str:
    return said.said() if stream else said.json["choices"][0]["message"]["content"]


BEFORE = {
    "429": (refusal(429, "slow down", {"Retry-After": "9"}), 429),
    "500": (refusal(500, "oops"), 500),
    "503": (refusal(503, "overloaded"), 502),
    "408": (refusal(408, "late"), 408),
    "a key that is refused": (refusal(401, "the key sk-secret is wrong"), 401),
    "HTML": (answer(b"<html>hello</html>", kind="text/html"), 502),
    "JSON of another shape": (answer({"hello": 1}), 502),
    "an empty body": (answer(b""), 502),
    "a cut before the head": (script(CUT, status=0), 502),
    "a reset": (script(RESET, status=0), 502),
    "a cut behind the head": (script(CUT), 502),
    "nothing at all": (script(STALL, status=0), 504),
    "silence behind the head": (script(STALL), 504),
    "pings and no more": (script(PING, 0.2, PING, 0.2, PING, STALL), 504),
    "an error in the stream": (script(event({"error": {"message": "overloaded", "code": 500}}), DONE), 500),
    "garbage and the end": (script(event(b"{nonsense"), DONE), 502),
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("fault", BEFORE)
async def test_before_the_first_chunk_another_is_asked(gateway: Gateway, fault: str, stream: bool) -> None:
    bad, _ = BEFORE[fault]
    async with Upstream(bad) as first, Upstream(streamed("fine") if stream else whole("fine")) as second:
        said = await ask(await gateway(first, second), stream)
        assert (said.status, content(said, stream)) == (200, "fine")
        assert said.headers["x-inference-provider"] == "p1"
        assert (len(first.requests), len(second.requests)) == (1, 1)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("fault", BEFORE)
async def test_where_nobody_else_can_it_is_told_with_its_status(gateway: Gateway, fault: str, stream: bool) -> None:
    bad, status = BEFORE[fault]
    async with Upstream(bad) as first:
        said = await ask(await gateway(first), stream)
    assert said.status == status, said.body
    assert "p0" in said.error["message"] and "sk-secret" not in said.body.decode()
    assert (said.headers.get("Retry-After") == "9") == (status == 429)


AFTER: dict[str, tuple[Any, ...]] = {
    "a cut": (CUT,),
    "a reset": (RESET,),
    "silence": (STALL,),
    "an error in the stream": (event({"error": {"message": "overloaded", "code": 500}}), DONE),
    "an error as text": (event({"error": "overloaded", "error_type": "overloaded"}),),
    "the end without a reason": (),
}


@pytest.mark.parametrize("fault", AFTER)
async def test_after_the_first_chunk_it_is_a_typed_error_and_never_two_answers(gateway: Gateway, fault: str) -> None:
    async with (
        Upstream(script(text("one", first=True), text(" two"), *AFTER[fault])) as first,
        Upstream(streamed("other")) as second,
    ):
        said = await ask(await gateway(first, second))
        assert said.status == 200 and said.body.endswith(DONE)
        assert said.events[-1]["error"]["message"] and said.events[-1]["error"]["type"]
        assert "".join(_texts(said.events[:-1])) == "one two"
        assert second.requests == []


@pytest.mark.parametrize("fault", AFTER)
async def test_or_it_goes_on_elsewhere_if_that_is_asked(gateway: Gateway, fault: str) -> None:
    async with (
        Upstream(script(text("one", first=True), text(" two"), *AFTER[fault])) as first,
        Upstream(streamed(" three")) as second,
    ):
        address = await gateway(first, second)
        said = await ask(address, **{"continue": True, "stream_options": {"include_usage": True}})
        assert said.said() == "one two three" and b": continued by p1\n\n" in said.body
        assert said.events[-1]["usage"]["completion_tokens"] == 3 and said.events[-1]["usage"]["estimated"]
        assert second.requests[0].json["messages"][-1] == {"role": "assistant", "content": "one two"}


def _texts(events: list[Any]) -> list[str]:
    return [choice["delta"].get("content") or "" for one in events for choice in one["choices"]]


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MENDED: dict[str, Script] = {
    "no [DONE]": script(text("one", first=True), finish(), usage()),
    "no usage": script(text("one", first=True), finish(), DONE),
    "usage in the finish chunk": script(text("one", first=True), finish(usage=tokens()), DONE),
    "comments": script(PING, text("one", first=True), PING, PING, finish(), usage(), DONE),
    "garbage between": script(text("one", first=True), event(b"{nonsense"), finish(), usage(), DONE),
    "a slow start": script(text("one", first=True), finish(), usage(), DONE, wait=0.2),
    "a cut behind the end": script(text("one", first=True), finish(), usage(), CUT),
    "another word for the end": script(text("one", first=True), finish("eos_token"), usage(), DONE),
    "no space behind data:": script(
        *(step.replace(b"data: ", b"data:") for step in (text("one", first=True), finish(), usage(), DONE))
    ),
    "gzip": script(text("one", first=True), finish(), usage(), DONE, coding="gzip"),
}


@pytest.mark.parametrize("oddity", MENDED)
async def test_what_is_odd_comes_out_as_openai_would_say_it(gateway: Gateway, oddity: str) -> None:
    async with Upstream(MENDED[oddity]) as first:
        said = await ask(await gateway(first), stream_options={"include_usage": True})
    *events, last = said.events
    assert "".join(_texts(events)) == "one" and said.status == 200
    assert [choice["finish_reason"] for one in events for choice in one["choices"]][-1] == "stop"
    assert all(isinstance(choice["delta"]["content"], str) for one in events for choice in one["choices"])
    assert last["choices"] == [] and last["usage"]["completion_tokens"] > 0
    assert bool(last["usage"].get("estimated")) == (oddity == "no usage")
    assert all(one["usage"] is None for one in events)


async def test_calls_without_an_index_and_thoughts_are_told_in_both_ways(gateway: Gateway) -> None:
    calls = script(delta({"role": "assistant", "tool_calls": [CALL]}), finish("tool_calls"), usage(), DONE)
    thoughts = script(delta({"role": "assistant", "reasoning": "hm"}), text("one"), finish(), usage(), DONE)
    async with Upstream(calls, thoughts) as first:
        address = await gateway(first)
        said = await ask(address, tools=[{"type": "function", "function": {"name": "f"}}])
        (call,) = said.events[0]["choices"][0]["delta"]["tool_calls"]
        assert (call["index"], call["id"], call["function"]["name"]) == (0, "a", "f")
        said = await ask(address)
        first_delta = said.events[0]["choices"][0]["delta"]
        assert first_delta["reasoning"] == first_delta["reasoning_content"] == "hm"


async def test_sixty_four_streams_go_on_when_their_provider_dies(gateway: Gateway) -> None:
    async with (
        Upstream(script(text("one", first=True), 0.2, CUT)) as first,
        Upstream(streamed(" two")) as second,
    ):
        address = await gateway(first, second, continue_=True, breaker_failures=1000)
        answers = await asyncio.gather(*(ask(address) for _ in range(64)))
    assert [said.said() for said in answers] == ["one two"] * 64


async def test_who_hangs_up_ends_the_providers_work_too(gateway: Gateway) -> None:
    async with Upstream(script(text("one", first=True), STALL)) as first:
        address = await gateway(first)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), aiohttp.ClientSession() as session:
                body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
                async with session.post(f"{address}/v1/chat/completions", data=json.dumps(body)) as reply:
                    await reply.read()
        async with asyncio.timeout(3):
            while not first.requests[0].gone:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("price", [None, (2.0, 10.0)])
async def test_a_whole_answer_passes_as_it_came_unless_its_cost_is_to_be_told(
    setup: Setup, price: tuple[float, float] | None
) -> None:
    told = completion("fine", message={"refusal": None}, service_tier="default")
    async with Upstream(answer(told)) as up, Net() as net:
        router, config = setup.router(structs.replace(_party(net, "p0", up), price=price)), Config()
        config.server.port = 0
        async with running(router, config) as address:
            said = await ask(address, stream=False)
    assert said.status == 200 and said.headers["x-inference-provider"] == "p0"
    if price is None:
        assert said.body == json.dumps(told | {"model": MODEL}).encode()
    else:
        assert said.json["usage"]["cost"] == pytest.approx((3 * 2 + 2 * 10) / 1e6)
        assert "service_tier" not in said.json and content(said, stream=False) == "fine"
    assert [(one.prompt_tokens, one.completion_tokens, one.outcome) for one in setup.spent] == [(3, 2, "ok")]
