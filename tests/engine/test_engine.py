"""The engine as a Backend, in-process, over tiny models."""

import asyncio
import random
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from asking import LONG, Start, ask, first, request, said, stream, whole
from tertulia.engine.batch import BLOCK, Batch
from tertulia.errors import Busy, ContextOverflow, EngineFault, TertuliaError
from tertulia.fold import fold
from tertulia.types import Chunk

# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize("n", [1, 3])
async def test_deltas_hold_what_clients_lean_on(start: Start, n: int) -> None:
    engine = await start()
    chunks = await stream(engine, request(n=n, temperature=1.0, seed=5))
    assert len({(chunk.id, chunk.created, chunk.model, chunk.system_fingerprint) for chunk in chunks}) == 1
    assert chunks[0].id
    assert chunks[0].model == "tiny/smollm2"
    assert "0123456789ab" in (chunks[0].system_fingerprint or "")
    *pieces, last = chunks
    for index in range(n):
        own = [chunk.choices[0] for chunk in pieces if chunk.choices[0].index == index]
        assert [choice.delta.role for choice in own] == ["assistant"] + [UNSET] * (len(own) - 1)
        assert all(isinstance(choice.delta.content, str) for choice in own)
        assert [choice.finish_reason for choice in own] == [None] * (len(own) - 1) + ["length"]
        assert all(choice.logprobs is UNSET for choice in own)
    assert [len(chunk.choices) for chunk in chunks] == [1] * len(pieces) + [0]
    assert all(chunk.usage is UNSET for chunk in pieces)
    assert last.usage
    assert (last.usage.completion_tokens, last.usage.total_tokens) == (12 * n, last.usage.prompt_tokens + 12 * n)
    assert chunks[0].meta
    assert chunks[0].meta.provider == "local"
    assert all(chunk.meta is UNSET for chunk in chunks[1:])


async def test_usage_counts_what_the_template_made_and_what_was_cached(start: Start) -> None:
    engine = await start()
    cold, warm = await ask(engine, LONG), await ask(engine, LONG)
    count = await engine.count(request(LONG))
    assert cold.usage.prompt_tokens == warm.usage.prompt_tokens == count
    assert count > 3 * BLOCK
    assert cold.usage.prompt_tokens_details
    assert warm.usage.prompt_tokens_details
    assert cold.usage.prompt_tokens_details.cached_tokens == 0
    assert warm.usage.prompt_tokens_details.cached_tokens == (count - 2) // BLOCK * BLOCK


async def test_warnings_travel_with_the_first_chunk(start: Start) -> None:
    chunks = await stream(await start(), request(reasoning_effort="high"))
    assert chunks[0].meta
    assert "reasoning_effort" in chunks[0].meta.warnings[0]


async def test_the_model_is_told_with_its_context(start: Start) -> None:
    engine = await start(context=100)
    (card,) = engine.models()
    assert (card.id, card.context_length) == ("tiny/smollm2", 100)


# ---------------------------------------------------------------- the same answer in any company

SAMPLINGS = {
    "greedy": {"temperature": 0},
    "temperature": {"temperature": 1.0, "seed": 7},
    "truncated": {"temperature": 1.3, "seed": -7, "top_p": 0.9, "top_k": 40, "min_p": 0.01},
    "penalties": {"temperature": 0.8, "seed": 1 << 60, "frequency_penalty": 1.5, "presence_penalty": 0.5}
    | {"repetition_penalty": 1.2},
}


@pytest.mark.parametrize("name", ["smollm2", "qwen2.5"])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
async def test_the_same_request_has_the_same_answer(
    start: Start, steady: dict[str, bool], name: str, sampling: dict[str, Any]
) -> None:
    """Alone, prefix-cached, in a crowd of 16, and in another engine: text and log-probabilities to the last bit."""
    fields = sampling | {"max_tokens": 40, "logprobs": True, "top_logprobs": 3}
    engine = await start(name, **steady)
    alone = (await ask(engine, LONG, **fields)).choices
    assert (await ask(engine, LONG, **fields)).choices == alone
    others = [
        ask(engine, LONG[index:] if index % 2 else "when " * index, seed=index, max_tokens=5 + 7 * index)
        for index in range(15)
    ]
    crowd = await asyncio.gather(*others[:8], ask(engine, LONG, **fields), *others[8:])
    assert crowd[8].choices == alone
    fresh = await start(name, **steady)
    crowded = await asyncio.gather(*(ask(fresh, LONG, **fields) for _ in range(4)), ask(fresh, "to", max_tokens=90))
    assert [answer.choices for answer in crowded[:4]] == [alone] * 4


async def test_another_seed_is_another_answer(start: Start) -> None:
    engine = await start()
    answers = [await ask(engine, temperature=1.0, seed=seed) for seed in (1, 2, None, None)]
    assert len({said(answer) for answer in answers}) == 4


async def test_choices_differ_by_their_seeds_and_the_first_is_the_single_one(start: Start) -> None:
    engine = await start()
    many = await ask(engine, LONG, n=6, temperature=1.0, seed=9)
    assert [choice.index for choice in many.choices] == list(range(6))
    assert len({said(many, index) for index in range(6)}) == 6
    assert said(many) == said(await ask(engine, LONG, temperature=1.0, seed=9))
    greedy = await ask(engine, LONG, n=3, temperature=0)
    assert len({said(greedy, index) for index in range(3)}) == 1


async def test_choices_share_the_blocks_of_their_prompt(start: Start) -> None:
    engine = await start()
    asked = request(LONG, n=8, max_tokens=20)
    prompt = await engine.count(asked)
    most = 0
    async with aclosing(engine.chat(asked)) as chunks:
        async for _ in chunks:
            most = max(most, engine._blocks.count - engine._blocks.available)
    shared = (prompt - 2) // BLOCK
    assert shared >= 3
    assert most <= shared + 8 * 3
    assert whole(engine)


async def test_an_exact_engine_answers_the_same_when_it_was_preempted(start: Start) -> None:
    fields = {"temperature": 0.9, "max_tokens": 110}
    asked = [(LONG[index : index + 60], fields | {"seed": index}) for index in range(5)]
    roomy = await start(exact=True)
    calm = [(await ask(roomy, text, **fields)).choices for text, fields in asked]
    tight = await start(exact=True, kv=14 * roomy._model.block_bytes)
    pressed = await asyncio.gather(*(ask(tight, text, **fields) for text, fields in asked))
    assert tight._figures.counters["preemptions"] > 0
    assert roomy._figures.counters["preemptions"] == 0
    assert [answer.choices for answer in pressed] == calm
    assert whole(tight)


async def test_a_preempted_answer_is_whole_and_counted_once(start: Start) -> None:
    engine = await start(kv=14 * 29184)
    texts = [LONG[index : index + 60] for index in range(5)]
    answers = await asyncio.gather(*(ask(engine, text, max_tokens=110, seed=3) for text in texts))
    assert engine._figures.counters["preemptions"] > 0
    for answer in answers:
        assert answer.usage.completion_tokens == 110
        assert answer.choices[0].finish_reason == "length"
    assert whole(engine)


# ---------------------------------------------------------------- leaving


@pytest.mark.parametrize("count", [1, 2, 7])
async def test_who_leaves_gives_his_blocks_back_at_once(start: Start, count: int) -> None:
    engine = await start()
    chunks = engine.chat(request(LONG, n=3, max_tokens=500))
    await first(chunks, count)
    assert not whole(engine)
    await chunks.aclose()
    assert whole(engine)
    done = engine._figures.counters["completion_tokens"]
    await asyncio.sleep(0.05)
    assert engine._figures.counters["completion_tokens"] == done, "it went on working for nobody"
    assert said(await ask(engine, LONG, temperature=0)) == said(await ask(await start(), LONG, temperature=0))


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind(start: Start) -> None:
    engine = await start(batch=1)
    running = engine.chat(request(max_tokens=2000))
    await first(running)
    waiting = asyncio.create_task(stream(engine, request(LONG, n=2)))
    await asyncio.sleep(0.02)
    assert len(engine._scheduler.waiting) == 2
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not engine._scheduler.waiting
    await anext(running)
    await running.aclose()
    assert whole(engine)


async def test_of_many_requests_none_is_lost_or_mixed_up(start: Start) -> None:
    """200 at 32 at once in a pool too small for them, a third of them leaving at random moments."""
    engine = await start(kv=24 * 29184, batch=24, exact=True)
    chance = random.Random(4)
    asked = [
        request(
            LONG[chance.choice([0, 0, 40, 83]) :][: chance.randrange(1, 200)],
            max_tokens=chance.randrange(1, 90),
            temperature=chance.choice([0, 1.0]),
            seed=chance.randrange(5),
            n=chance.choice([1, 1, 1, 2]),
        )
        for _ in range(200)
    ]
    leaves = {index: chance.randrange(0, 15) for index in chance.sample(range(200), 66)}
    gate = asyncio.Semaphore(32)

    async def one(index: int) -> list[Chunk] | None:
        async with gate:
            if index not in leaves:
                return await stream(engine, asked[index])
            if not leaves[index]:
                task = asyncio.create_task(stream(engine, asked[index]))
                await asyncio.sleep(chance.random() / 50)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return None
            async with aclosing(engine.chat(asked[index])) as chunks:
                seen = 0
                async for _ in chunks:
                    seen += 1
                    if seen == leaves[index]:
                        break
            return None

    answers = await asyncio.gather(*(one(index) for index in range(200)))
    assert whole(engine)
    assert sum(answer is not None for answer in answers) == 134
    assert engine._figures.counters["preemptions"] > 0
    alone = await start(exact=True)
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        own, n = fold(answer), asked[index].n or 1
        assert len(own.choices) == n
        assert own.usage.completion_tokens == (asked[index].max_tokens or 0) * n
        if index % 3 == 0:
            assert own.choices == fold(await stream(alone, asked[index])).choices, index


async def test_the_work_goes_on_while_chunks_are_not_fetched(start: Start) -> None:
    """A slow reader holds up nobody."""
    engine = await start()
    slow = engine.chat(request(max_tokens=30))
    await first(slow)
    assert said(await ask(engine, LONG, max_tokens=60))
    rest = [chunk async for chunk in slow]
    assert rest[-1].usage
    assert rest[-1].usage.completion_tokens == 30


# ---------------------------------------------------------------- bounds


async def test_a_full_queue_turns_away_with_429(start: Start) -> None:
    engine = await start(batch=1, queue=2)
    running = engine.chat(request(max_tokens=2000))
    await first(running)
    waiting = [asyncio.create_task(stream(engine, request())) for _ in range(2)]
    await asyncio.sleep(0.02)
    with pytest.raises(Busy, match="2 requests") as caught:
        await stream(engine, request())
    assert (caught.value.status, caught.value.retry_after) == (429, 5)
    await running.aclose()
    assert all(chunks[-1].usage for chunks in await asyncio.gather(*waiting))
    assert whole(engine)


async def test_free_seats_are_no_queue(start: Start) -> None:
    engine = await start(queue=0, batch=8)
    completion = await ask(engine, n=8)
    assert len(completion.choices) == 8


async def test_a_wait_too_long_in_the_queue_turns_away_with_429(start: Start) -> None:
    engine = await start(batch=1, queue_timeout=0.05)
    running = engine.chat(request(max_tokens=4000))
    await first(running)
    with pytest.raises(Busy, match=r"0\.05 s") as caught:
        await stream(engine, request())
    assert caught.value.retry_after
    assert not engine._scheduler.waiting
    await anext(running)
    await running.aclose()


async def test_the_context_is_never_overrun_in_silence(start: Start) -> None:
    engine = await start(context=64)
    prompt = await engine.count(request())
    with pytest.raises(ContextOverflow) as caught:
        await ask(engine, LONG)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"
    assert "64" in caught.value.message
    assert str(await engine.count(request(LONG))) in caught.value.message
    for field in ("max_tokens", "max_completion_tokens"):
        with pytest.raises(ContextOverflow, match=f"at most {64 - prompt} tokens") as caught:
            await ask(engine, **({"max_tokens": None} | {field: 65 - prompt}))
        assert caught.value.param == field
    assert (await ask(engine, max_tokens=64 - prompt)).usage.total_tokens == 64
    assert (await ask(engine, max_tokens=None)).usage.total_tokens == 64, "without a bound it takes the room there is"


async def test_the_context_is_no_longer_than_the_pool(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    engine = await start(kv=6 * 29184)
    assert engine.context == 5 * BLOCK
    assert "160" in caplog.text
    full = await ask(engine, max_tokens=engine.context - await engine.count(request()))
    assert full.usage.total_tokens == 160


async def test_an_answer_without_a_bound_has_1024_tokens(start: Start) -> None:
    assert (await ask(await start(), max_tokens=None)).usage.completion_tokens == 1024


# ---------------------------------------------------------------- faults


async def test_a_pass_that_fails_is_told_to_all_in_it_and_the_next_request_works(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await start(batch=3)
    before = said(await ask(engine, LONG, temperature=0))
    forward, calls = engine._model.forward, 0

    def failing(batch: Batch) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise RuntimeError("the secret inside of a request")
        return forward(batch)

    monkeypatch.setattr(engine._model, "forward", failing)
    running = [asyncio.create_task(stream(engine, request(LONG, max_tokens=90))) for _ in range(5)]
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(outcome, EngineFault)
        assert outcome.status == 500
        assert "secret" not in outcome.message
    assert "a pass failed" in caplog.text
    assert whole(engine)
    assert said(await ask(engine, LONG, temperature=0)) == before


async def test_a_stopped_engine_ends_what_runs_and_takes_nothing_new(start: Start) -> None:
    engine = await start(batch=1)
    running = [asyncio.create_task(stream(engine, request(max_tokens=4000))) for _ in range(3)]
    await asyncio.sleep(0.05)
    await engine.aclose()
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(outcome, EngineFault)
    with pytest.raises(TertuliaError):
        await asyncio.wait_for(stream(engine, request()), 2)
    assert whole(engine)


async def test_the_figures_add_up(start: Start) -> None:
    engine = await start()
    answers = [await ask(engine, LONG, max_tokens=7) for _ in range(3)]
    text = await engine.metrics()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    label = '{model="tiny/smollm2"}'
    assert lines[f"tertulia_engine_completion_tokens_total{label}"] == "21"
    prompts = sum(answer.usage.prompt_tokens for answer in answers)
    assert lines[f"tertulia_engine_prompt_tokens_total{label}"] == str(prompts)
    details = [answer.usage.prompt_tokens_details for answer in answers]
    cached = sum(detail.cached_tokens or 0 for detail in details if detail)
    assert cached > 0
    assert lines[f"tertulia_engine_cached_tokens_total{label}"] == str(cached)
    assert float(lines[f"tertulia_engine_kv_used_ratio{label}"]) == 0
    (made,) = (line for line in lines if line.startswith('tertulia_engine_info{model="tiny/smollm2",openvino="'))
    assert 'weights="' in made and f'context="{engine.context}"' in made and 'cpu=""' not in made
