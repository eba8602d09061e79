"""Who is tried when something fails, what the caller sees of it, and what the usage log holds."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from echo import MODEL
from router_setup import Far, Setup, asked, chunks, party, route, row, said, setup
from tertulia.catalog.catalog import Listing
from tertulia.errors import BadRequest, Busy, EngineFault, Timeout, UnknownModel, Upstream
from tertulia.types import Caller, ChatRequest, Chunk

__all__ = ["setup"]
GONE = Upstream("it can't be reached")


async def test_the_next_is_asked_before_the_first_chunk(setup: Setup) -> None:
    for fault in (GONE, Busy("full", retry_after=9), Timeout("silent"), EngineFault("a defect")):
        router = setup.router(party("together", Far(fault)), party("groq"))
        answer = await chunks(router, asked())
        assert said(answer) == "one two three"
        assert route(answer) == [("together", "failed"), ("groq", "served")]


async def test_what_is_wrong_with_the_request_is_told_at_once(setup: Setup) -> None:
    groq = Far()
    router = setup.router(party("together", Far(BadRequest("no", param="n"))), party("groq", groq))
    with pytest.raises(BadRequest):
        await chunks(router, asked())
    assert groq.requests == []


async def test_a_pinned_provider_is_asked_again_and_never_replaced(setup: Setup) -> None:
    together, groq = Far(GONE), Far()
    router = setup.router(party("together", together), party("groq", groq))
    assert said(await chunks(router, asked("org/far:together"))) == "one two three"
    assert len(together.requests) == 2
    router = setup.router(party("together", Far(GONE, GONE)), party("groq", groq))
    with pytest.raises(Upstream) as failed:
        await chunks(router, asked("org/far:together"))
    assert [(attempt.provider, attempt.outcome) for attempt in failed.value.route] == [("together", "failed")] * 2
    assert groq.requests == []


async def test_who_asks_to_be_left_alone_for_long_is_not_waited_for(setup: Setup) -> None:
    router = setup.router(party("together", Far(Busy("full", retry_after=7))))
    started = time.monotonic()
    with pytest.raises(Busy) as busy:
        await chunks(router, asked())
    assert busy.value.retry_after == 7 and time.monotonic() - started < 0.2


async def test_no_more_than_so_many_are_tried(setup: Setup) -> None:
    backends = [Far(GONE, GONE) for _ in range(6)]
    parties = [party(f"p{index}", backend) for index, backend in enumerate(backends)]
    with pytest.raises(Upstream):
        await chunks(setup.router(*parties, attempts=3), asked())
    assert sum(len(backend.requests) for backend in backends) == 3


async def test_who_failed_in_a_row_is_given_a_rest(setup: Setup) -> None:
    together = Far(*[GONE] * 9)
    router = setup.router(party("together", together), party("groq"))
    for _ in range(5):
        await chunks(router, asked())
    assert len(together.requests) == 3
    assert [card.providers[0].status for card in router.models() if card.id == "org/far" and card.providers] == [
        "error"
    ]


async def test_an_outage_is_not_multiplied(setup: Setup) -> None:
    together = Far(*[GONE] * 1000)
    router = setup.router(party("together", together), retry_budget=0.0)
    for _ in range(20):
        with pytest.raises(Upstream):
            await chunks(router, asked("org/far:together"))
    assert len(together.requests) == 20


async def test_the_model_of_last_resort_answers_when_all_others_failed(setup: Setup) -> None:
    router = setup.router(party("together", Far(GONE)), fallback="echo")
    answer = await chunks(router, asked())
    assert route(answer) == [("together", "failed"), ("local", "served")]
    assert answer[0].model == MODEL


async def test_a_stream_that_breaks_is_an_error(setup: Setup) -> None:
    router = setup.router(party("together", Far(GONE, after=2)), party("groq"))
    with pytest.raises(Upstream):
        await chunks(router, asked())
    assert [spent.outcome for spent in setup.spent] == ["upstream_error"]
    assert setup.spent[0].completion_tokens == 2 and setup.spent[0].estimated


async def test_a_stream_that_breaks_goes_on_elsewhere_if_that_is_asked(setup: Setup) -> None:
    groq = Far()
    router = setup.router(
        party("together", Far(GONE, after=2), price=(1.0, 2.0)), party("groq", groq, price=(1.0, 2.0))
    )
    answer = await chunks(router, asked(continue_=True))
    comments = [chunk.comment for chunk in answer if chunk.comment]
    assert comments == ["continued by groq"]
    assert said(answer).startswith("one two")
    visible = [chunk for chunk in answer if not chunk.sign_of_life]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in visible}) == 1
    assert [bool(choice.delta.role) for chunk in visible for choice in chunk.choices].count(True) == 1
    sent = groq.requests[0]
    assert sent.continue_final_message and sent.messages[-1].role == "assistant"
    assert sent.messages[-1].content == "one two"
    assert [spent.outcome for spent in setup.spent] == ["continued", "ok"]
    usage = visible[-1].usage
    assert usage and usage.estimated and usage.cost and usage.completion_tokens >= 3


async def test_what_can_not_go_on_is_an_error_all_the_same(setup: Setup) -> None:
    for fields in ({"n": 2}, {"response_format": {"type": "json_object"}}, {"logprobs": True}):
        router = setup.router(party("together", Far(GONE, after=2)), party("groq"), continue_=True)
        with pytest.raises(Upstream):
            await chunks(router, asked(**fields))


async def test_sixty_four_streams_survive_their_provider(setup: Setup) -> None:
    router = setup.router(party("together", Far(*[GONE] * 64, after=1)), party("groq"), continue_=True)
    answers = await asyncio.gather(*(chunks(router, asked()) for _ in range(64)))
    assert all(said(answer).startswith("one") for answer in answers)
    assert all(answer[-1].usage for answer in answers)


async def test_what_it_cost_is_told_and_noted(setup: Setup) -> None:
    rows = (row("org/model", together=Listing(id="t", price=(2.0, 10.0))),)
    router = setup.router(party("together", models=()), rows=rows)
    answer = await chunks(router, asked("org/model", caller=Caller("ann", "req-1", token=7)))
    assert answer[-1].usage and answer[-1].usage.cost == pytest.approx((3 * 2 + 3 * 10) / 1e6)
    (spent,) = setup.spent
    assert (spent.request_id, spent.token, spent.caller, spent.cost) == ("req-1", 7, "ann", 36)
    assert (spent.model, spent.provider, spent.outcome, spent.estimated) == ("org/model", "together", "ok", False)


async def test_who_hangs_up_stops_the_work_and_is_noted(setup: Setup) -> None:
    far = Far()
    router = setup.router(party("together", far))
    async with aclosing(router.chat(asked())) as answer:
        async for chunk in answer:
            if not chunk.sign_of_life:
                break
    assert (far.closed, far.open) == (1, 0)
    assert [(spent.outcome, spent.completion_tokens, spent.estimated) for spent in setup.spent] == [
        ("cancelled", 1, True)
    ]
    async with aclosing(router.chat(asked(content="x" * 400))) as answer:
        await anext(answer)
    assert far.requests == far.requests[:1]  # it was not asked yet: nothing was spent
    task = asyncio.create_task(chunks(router, asked(content="!30 " + "x" * 396)))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert setup.spent[-1].outcome == "cancelled" and setup.spent[-1].prompt_tokens == 100  # it has read the prompt


async def test_what_a_provider_itself_says_it_cost_counts_where_no_price_is_known(setup: Setup) -> None:
    far = Far()
    answer = far.chat

    async def costly(request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in answer(request):
            if chunk.usage:
                chunk.usage.cost = 0.5
            yield chunk

    far.chat = costly  # type: ignore[method-assign]
    told = await chunks(setup.router(party("together", far)), asked())
    assert told[-1].usage and told[-1].usage.cost == 0.5 and setup.spent[-1].cost == 500_000


async def test_a_continued_answer_costs_what_its_parts_cost(setup: Setup) -> None:
    parties = [party(name, far, price=(1.0, 10.0)) for name, far in (("a", Far(GONE, after=2)), ("b", Far()))]
    answer = await chunks(setup.router(*parties), asked(continue_=True))
    assert answer[-1].usage and answer[-1].usage.cost == pytest.approx(sum(one.cost for one in setup.spent) / 1e6)


async def test_where_the_next_will_not_go_on_one_more_is_asked(setup: Setup) -> None:
    parties = [party("a", Far(GONE, after=2)), party("b", Far(BadRequest("no prefill"))), party("c", Far())]
    answer = await chunks(setup.router(*parties), asked(continue_=True))
    assert [chunk.comment for chunk in answer if chunk.comment] == ["continued by c"]


async def test_a_request_that_nobody_could_answer_is_in_the_log_too(setup: Setup) -> None:
    with pytest.raises(UnknownModel):
        await chunks(setup.router(), asked("no/such"))
    assert [(spent.model, spent.provider, spent.outcome) for spent in setup.spent] == [
        ("no/such", "", "model_not_found")
    ]


async def test_every_attempt_is_in_the_log(setup: Setup) -> None:
    router = setup.router(party("together", Far(GONE)), party("groq"))
    await chunks(router, asked())
    assert [(spent.provider, spent.outcome, spent.cost) for spent in setup.spent] == [
        ("together", "failed_over", 0),
        ("groq", "ok", 0),
    ]


async def test_where_nothing_more_may_be_tried_the_log_ends_with_the_error(setup: Setup) -> None:
    router = setup.router(party("together", Far(GONE)), party("groq"), retry_budget=0.0)
    with pytest.raises(Upstream):
        await chunks(router, asked())
    assert [spent.outcome for spent in setup.spent] == ["upstream_error"]
