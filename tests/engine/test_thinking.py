"""Models that think aloud: what is thought is told as such, and efforts bound it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import tiny
from asking import Start, ask, request, said, stream
from tertulia.engine import ask as asking_
from tertulia.engine.ask import Asker
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.engine import Engine
from tertulia.types import Completion, Function, Message, Tool

OPENED = tiny.TEMPLATE + "{% if add_generation_prompt %}<think>\n{% endif %}"
"""The template opens the block."""
LEFT = tiny.TEMPLATE + "{# <think> is what the model writes by itself #}"
"""The model opens it, or doesn't."""
SWITCH = tiny.TEMPLATE + (
    "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}"
)
"""The template can switch it off."""

Think = Callable[..., Awaitable[Engine]]


@pytest.fixture
def think(start: Start, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Think:
    """An engine whose template is one of those above, and whose smallest effort is six tokens."""
    monkeypatch.setitem(asking_.EFFORTS, "minimal", 6)

    async def load(template: str, **settings: Any) -> Engine:
        engine = await start(**settings)
        checkpoint = replace(open_checkpoint(folder("smollm2")), template=template)
        engine._asker = Asker(engine._tokens, checkpoint, engine.context)
        return engine

    return load


def thought(completion: Completion) -> str:
    message = completion.choices[0].message
    assert message.reasoning == message.reasoning_content, "the two names of one thing"
    return str(message.reasoning or "")


def counted(completion: Completion) -> int:
    details = completion.usage.completion_tokens_details
    assert details
    return details.reasoning_tokens or 0


async def test_in_a_block_that_is_open_all_is_thought_until_it_is_closed(think: Think) -> None:
    engine = await think(OPENED)
    never = await ask(engine, max_tokens=20)
    assert thought(never)
    assert said(never) == ""
    assert counted(never) == never.usage.completion_tokens == 20
    assert never.choices[0].finish_reason == "length"


async def test_an_effort_bounds_the_tokens_of_thinking(think: Think) -> None:
    engine = await think(OPENED)
    closing = len(engine._tokens.encode("\n</think>\n\n"))
    answer = await ask(engine, reasoning_effort="minimal", max_tokens=60)
    assert thought(answer)
    assert said(answer)
    assert "</think>" not in said(answer) + thought(answer)
    assert 6 < counted(answer) <= 6 + closing
    assert answer.usage.completion_tokens == 60


async def test_the_largest_effort_has_no_bound(think: Think) -> None:
    answer = await ask(await think(OPENED), reasoning_effort="xhigh", max_tokens=200)
    assert counted(answer) == 200


@pytest.mark.parametrize("template", [OPENED, LEFT, SWITCH])
async def test_with_no_effort_nothing_is_thought(think: Think, template: str) -> None:
    engine = await think(template)
    answer = await ask(engine, reasoning_effort="none")
    assert thought(answer) == ""
    assert said(answer)
    assert counted(answer) == 0
    prompt = engine._tokens._tokenizer.decode(
        (await engine._asker.plan(request(reasoning_effort="none"), 0)).prompt.ids, skip_special_tokens=False
    )
    assert prompt.count("</think>") == 1
    assert prompt.endswith("</think>\n\n")


async def test_thoughts_are_told_as_they_come_under_both_names_and_before_the_answer(think: Think) -> None:
    chunks = await stream(await think(OPENED), request(reasoning_effort="minimal", max_tokens=40))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    kinds = ["thought" if delta.reasoning else "text" for delta in deltas]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds.count("thought") > 2
    assert all(delta.reasoning == delta.reasoning_content for delta in deltas)
    assert all(isinstance(delta.content, str) for delta, kind in zip(deltas, kinds, strict=True) if kind == "text")


async def test_log_probabilities_are_those_of_the_answer_alone(think: Think) -> None:
    engine = await think(OPENED)
    answer = await ask(engine, reasoning_effort="minimal", max_tokens=40, logprobs=True)
    assert answer.choices[0].logprobs
    told = b"".join(bytes(entry.bytes or []) for entry in answer.choices[0].logprobs.content or [])
    assert told.decode(errors="replace").strip().startswith(said(answer)[:-3].strip())
    assert len(told) < len(said(answer).encode()) + 8


async def test_a_form_begins_behind_the_thinking(think: Think) -> None:
    engine = await think(OPENED)
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": ["one", "two"]}}}
    answer = await ask(engine, reasoning_effort="minimal", max_tokens=80, response_format=form, ignore_eos=False)
    assert thought(answer)
    assert json.loads(said(answer)) in ("one", "two")
    assert answer.choices[0].finish_reason == "stop"


async def test_a_required_call_comes_behind_the_thinking(think: Think) -> None:
    engine = await think(OPENED)
    tools = [Tool(Function("ping", None, {"type": "object", "properties": {"on": {"type": "boolean"}}}))]
    asked: dict[str, Any] = {"tools": tools, "tool_choice": "required", "ignore_eos": False, "max_tokens": 100}
    answer = await ask(engine, reasoning_effort="minimal", **asked)
    assert thought(answer)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


async def test_an_exact_engine_bounds_thinking_the_same(think: Think) -> None:
    asked: dict[str, Any] = {"reasoning_effort": "minimal", "max_tokens": 30, "temperature": 0}
    answers = [await ask(await think(OPENED, exact=exact), **asked) for exact in (False, True)]
    assert thought(answers[0]) == thought(answers[1])
    assert said(answers[0]) == said(answers[1])


async def test_a_stop_string_stops_the_answer_and_not_the_thought(think: Think) -> None:
    engine = await think(OPENED)
    free = await ask(engine, reasoning_effort="minimal", max_tokens=40, temperature=0)
    letter = thought(free)[2]
    held = await ask(engine, reasoning_effort="minimal", max_tokens=40, temperature=0, stop=[letter])
    assert thought(held) == thought(free)
    assert letter not in said(held)


async def test_an_answer_that_is_continued_is_not_closed_again(think: Think) -> None:
    engine = await think(OPENED)
    messages = [Message(role="user", content="the"), Message(role="assistant", content="and")]
    asked = structs.replace(request(reasoning_effort="none"), messages=messages)
    assert engine._tokens._tokenizer.decode((await engine._asker.plan(asked, 0)).prompt.ids).endswith("and")


async def test_on_a_model_that_does_not_think_an_effort_is_warned_of(start: Start) -> None:
    chunks = await stream(await start(), request(reasoning_effort="high"))
    assert chunks[0].meta
    assert "reasoning_effort" in chunks[0].meta.warnings[0]
