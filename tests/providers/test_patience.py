"""How long a provider's answer may take, how it ends early, and its list of models."""

import asyncio
import time

import pytest

from providing import END, KEY, WORDS, ask, asked, remote, said
from talk import until
from tertulia.errors import TertuliaError, Timeout, Unsupported, Upstream
from tertulia.fold import fold
from tertulia.net import MEBI, Net
from tertulia.providers import stream as answers
from tertulia.types import Chunk
from upstream import (
    DONE,
    STALL,
    Script,
    answer,
    delta,
    finish,
    refusal,
    script,
    text,
    whole,
)
from upstream import Upstream as Provider
from upstream import stream as flow

# ---------------------------------------------------------------- whole answers


async def test_how_long_a_whole_answer_may_take_is_told_before_it_is_awaited(net: Net):
    async with Provider(whole("a")) as up:
        first, *chunks = [chunk async for chunk in remote(net, up.address).chat(asked(stream=False))]
    assert first.sign_of_life and first.meta and first.meta.patience == 1
    assert not any(chunk.sign_of_life for chunk in chunks) and said(chunks) == "a"


@pytest.mark.parametrize("turn", [whole("a", wait=5), script(b'{"id":', STALL)])
async def test_a_whole_answer_is_not_awaited_for_ever(net: Net, turn: Script):
    async with Provider(turn) as up:
        with pytest.raises(Timeout, match=r"^prov"):
            await ask(remote(net, up.address, whole_timeout=0.3), asked(stream=False))
        await until(lambda: up.requests[0].gone, 1)


async def test_a_whole_answer_that_comes_as_a_stream_ends_in_time(net: Net):
    began = time.monotonic()
    async with Provider(script(*[step for _ in range(200) for step in (text("a"), 0.02)])) as up:
        with pytest.raises(Timeout, match=r"^prov had no answer after 0\.3 s"):
            await ask(remote(net, up.address, whole_timeout=0.3), asked(stream=False))
        await until(lambda: up.requests[0].gone, 1)
    assert time.monotonic() - began < 2


async def test_a_stream_that_goes_on_as_it_comes_may_take_longer_than_a_whole_answer(net: Net):
    async with Provider(script(*[step for _ in range(10) for step in (text("a"), 0.05)], *END)) as up:
        assert said(await ask(remote(net, up.address, whole_timeout=0.3))) == "a" * 10


PAGE = 1 << 14
ENDLESS = {
    "text": text("x" * PAGE),
    "thoughts": delta({"reasoning": "x" * PAGE}),
    "a refusal": delta({"refusal": "x" * PAGE}),
    "a call": delta({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "x" * PAGE}}]}),
    "calls": b"".join(delta({"tool_calls": [{"function": {"name": name * (PAGE // 2)}}]}) for name in "xy"),
}


@pytest.mark.parametrize(("stream", "most"), [(True, 4 << 18), (False, 1 << 18)])
@pytest.mark.parametrize("name", ENDLESS)
async def test_an_answer_without_end_is_cut_off(
    net: Net, name: str, stream: bool, most: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers, "LARGEST", 1 << 18)
    chunks: list[Chunk] = []
    async with Provider(script(*[ENDLESS[name]] * 2000)) as up:
        with pytest.raises(Upstream, match=rf"^prov answered more than {most / MEBI:g} MiB") as caught:
            async for chunk in remote(net, up.address).chat(asked(stream=stream)):
                chunks.append(chunk)  # noqa: PERF401 - those before the error count
        assert caught.value.retryable
        await until(lambda: up.requests[0].gone, 1)
    assert len(chunks) >= most // PAGE


async def test_a_whole_answer_of_endless_nothing_is_cut_off(net: Net, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "LARGEST", 1 << 14)
    async with Provider(script(text("a"), *[text("")] * 1000, STALL)) as up:
        with pytest.raises(Upstream, match="answered more than"):
            await ask(remote(net, up.address), asked(stream=False))


@pytest.mark.parametrize("stream", [True, False])
async def test_who_hangs_up_stops_the_work(net: Net, stream: bool):
    async with Provider(script(WORDS[0], STALL) if stream else whole("a", wait=5)) as up:
        one = remote(net, up.address, idle_timeout=5, whole_timeout=5)
        task = asyncio.create_task(ask(one, asked(stream=stream)))
        await until(lambda: len(up.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: up.requests[0].gone, 1)
        if stream:
            chunks = one.chat(asked(stream=True))
            await anext(chunks)
            await chunks.aclose()
            await until(lambda: up.requests[1].gone, 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_one_connection_serves_answer_after_answer(net: Net, stream: bool):
    async with Provider(flow("a") if stream else whole("a")) as up:
        for _ in range(5):
            await ask(remote(net, up.address), asked(stream=stream))
        assert (len(up.requests), up.connections) == (5, 1)


async def test_several_choices_are_read_to_their_ends(net: Net):
    events = [text("a"), finish(), 0.1, text("b", index=1), finish(index=1), DONE]
    events[-1:-1] = [text("c", index=2)]
    async with Provider(script(*events)) as up:
        answer = fold(await ask(remote(net, up.address), asked(n=2)))
    assert [choice.message.content for choice in answer.choices] == ["a", "b"]


# ---------------------------------------------------------------- models and health


async def test_its_models_are_listed(net: Net):
    models = [{"id": "a/b", "context_length": 4096, "pricing": {"input": 1, "output": 2}}, {"id": "c/d"}, {"no": "id"}]
    async with Provider(paths={"/v1/models": answer({"data": models}, coding="gzip")}) as up:
        one = remote(net, up.address)
        cards = await one.refresh()
    assert one.models() == cards and [card.id for card in cards] == ["a/b", "c/d"]
    (part,) = cards[0].providers or ()
    assert cards[0].context_length == 4096 and part.pricing and (part.pricing.input, part.pricing.output) == (1, 2)
    assert up.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("turn", [refusal(401, f"bad {KEY}"), answer(b"<html>", kind="text/html"), answer(b"")])
async def test_a_list_that_is_none_is_an_error_that_names_the_provider(net: Net, turn: Script):
    async with Provider(turn) as up:
        with pytest.raises(TertuliaError, match=r"^prov") as caught:
            await remote(net, up.address).refresh()
    assert KEY not in caught.value.message


@pytest.mark.parametrize(("status", "well"), [(200, True), (401, True), (404, True), (500, False), (503, False)])
async def test_it_is_healthy_if_its_list_has_no_fault(net: Net, status: int, well: bool):
    async with Provider(paths={"/v1/models": answer({}, status=status)}) as up:
        assert await remote(net, up.address).healthy() == well


async def test_one_without_a_list_says_so(net: Net):
    async with Provider(answer({})) as up:
        one = remote(net, up.address, row={"route": "/models/{model}/v1/chat/completions"})
        assert await one.healthy()
        with pytest.raises(Upstream, match="prov: it has no list of models"):
            await one.refresh()
        with pytest.raises(Unsupported, match="doesn't count tokens"):
            await one.count(asked())
