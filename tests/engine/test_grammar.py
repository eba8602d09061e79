"""Answers held to a form, by a model of random weights: what comes out right is the grammar's doing."""

import asyncio
import contextlib
import json
import random
import re
import time
from typing import Any

import jsonschema
import pytest
from llguidance import LLParserLimits

from asking import Start, ask, first, request, said, stream, whole
from tertulia.engine import grammar
from tertulia.errors import BadRequest
from tertulia.fold import fold

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 3},
        "home": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 5},
                "zip": {"type": "string", "pattern": "^[0-9]{4}$"},
            },
            "required": ["city", "zip"],
            "additionalProperties": False,
        },
        "spouse": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/name"}]},
    },
    "required": ["name", "age", "tags", "home", "spouse"],
    "additionalProperties": False,
    "$defs": {"name": {"type": "string", "maxLength": 4}},
}
CLOSED = {"additionalProperties": False, "minProperties": 1}
FREE = {"ignore_eos": False, "logit_bias": None, "max_tokens": 400}


def form(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema} | more}


@pytest.mark.parametrize("name", ["smollm2", "qwen2.5"])
@pytest.mark.parametrize("temperature", [0, 1.0])
async def test_every_answer_is_valid_or_was_cut(start: Start, name: str, temperature: float) -> None:
    engine = await start(name)
    answers = await asyncio.gather(
        *(
            ask(engine, f"{seed}", response_format=form(PERSON), seed=seed, temperature=temperature, **FREE)
            for seed in range(12)
        )
    )
    ends = [answer.choices[0].finish_reason for answer in answers]
    for answer, end in zip(answers, ends, strict=True):
        if end == "stop":
            jsonschema.validate(json.loads(said(answer)), PERSON)
    assert ends.count("stop") >= 10


async def test_a_cut_answer_says_length_and_is_a_beginning_of_json(start: Start) -> None:
    engine = await start()
    answer = await ask(engine, response_format=form(PERSON), **(FREE | {"max_tokens": 9}))
    assert answer.choices[0].finish_reason == "length"
    assert said(answer).startswith('{"name":"')


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        ({"structured_outputs": {"regex": "[0-9]{3}-(ab|cd)"}}, "[0-9]{3}-(ab|cd)"),
        ({"response_format": {"type": "regex", "value": "x+y"}}, "x+y"),
        ({"structured_outputs": {"choice": ["yes", "no", 'may"be']}}, 'yes|no|may"be'),
        ({"structured_outputs": {"grammar": 'start: "A" ("b" | "c")~2 "!"'}}, "A[bc]{2}!"),
        ({"response_format": {"type": "json_object"}}, r"\{.*\}"),
    ],
)
async def test_every_kind_of_form_is_held(start: Start, constraint: dict[str, Any], pattern: str) -> None:
    engine = await start()
    for seed in range(5):
        answer = await ask(engine, seed=seed, temperature=1.0, **FREE, **constraint)
        if answer.choices[0].finish_reason == "stop":
            assert re.fullmatch(pattern, said(answer), re.DOTALL), said(answer)


async def test_streamed_choices_each_hold_the_form(start: Start) -> None:
    engine = await start()
    chunks = await stream(engine, request(response_format=form(PERSON), n=3, temperature=1.0, seed=3, **FREE))
    completion = fold(chunks)
    for choice in completion.choices:
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content or ""), PERSON)
    assert len({choice.message.content for choice in completion.choices}) > 1


async def test_forced_tokens_cost_no_pass_and_count_as_said(start: Start) -> None:
    engine = await start()
    passes = 0
    forward = engine._model.forward

    def counted(batch: Any) -> Any:
        nonlocal passes
        passes += 1
        return forward(batch)

    engine._model.forward = counted
    schema = {"const": {"a_rather_long_key": "and a value that is known beforehand"}}
    answer = await ask(engine, response_format=form(schema), **FREE)
    assert json.loads(said(answer)) == schema["const"]
    assert passes <= 3 < answer.usage.completion_tokens


async def test_log_probabilities_come_token_by_token(start: Start) -> None:
    engine = await start()
    answer = await ask(engine, response_format=form({"enum": ["red", "green"]}), logprobs=True, top_logprobs=2, **FREE)
    logprobs = answer.choices[0].logprobs
    assert logprobs and logprobs.content
    assert b"".join(bytes(entry.bytes or []) for entry in logprobs.content).decode() == said(answer)


@pytest.mark.parametrize("temperature", [0, 1.0])
async def test_the_same_answer_alone_and_in_a_crowd(start: Start, temperature: float) -> None:
    engine = await start()
    fields = FREE | {"response_format": form(PERSON), "temperature": temperature, "seed": 5}
    alone = said(await ask(engine, "who", **fields))
    others = [ask(engine, f"what {index}", max_tokens=60) for index in range(6)]
    more = [ask(engine, f"who {index}", **(fields | {"seed": index})) for index in range(6)]
    together = await asyncio.gather(ask(engine, "who", **fields), *others, *more)
    assert said(together[0]) == alone


async def test_a_preempted_answer_keeps_its_place_in_the_grammar(start: Start) -> None:
    engine = await start(kv=14 * 32 * 2048, exact=True)
    fields = FREE | {"response_format": form(PERSON), "temperature": 1.0}
    answers = await asyncio.gather(*(ask(engine, f"{seed} " * 20, seed=seed, **fields) for seed in range(6)))
    for answer in answers:
        if answer.choices[0].finish_reason == "stop":
            jsonschema.validate(json.loads(said(answer)), PERSON)


UNENFORCED: list[tuple[Any, str]] = [
    ({"type": "object", "properties": {"a": {"not": {"pattern": "b"}}}}, "properties.a.not"),
    ({"type": "array", "contains": {"type": "string"}, "minContains": 2}, "minContains"),
    ({"type": "array", "uniqueItems": True}, "uniqueItems"),
]


@pytest.mark.parametrize(("schema", "place"), UNENFORCED, ids=[place for _, place in UNENFORCED])
async def test_what_can_not_be_enforced_is_refused_by_name_or_told(start: Start, schema: Any, place: str) -> None:
    engine = await start()
    with pytest.raises(BadRequest) as caught:
        await ask(engine, response_format=form(schema), **FREE)
    assert caught.value.param == f"response_format.json_schema.schema.{place}"
    chunks = await stream(engine, request(response_format=form(schema, strict=False), **(FREE | {"max_tokens": 3})))
    assert chunks[0].meta and f"response_format.json_schema.schema.{place}" in chunks[0].meta.warnings[0]


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema, "b": schema}, "required": ["a", "b"]}
    return schema


def chain(length: int) -> dict[str, Any]:
    """References that lead to one another."""
    links = {f"d{i}": {"type": "array", "items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": links | {f"d{length}": {}}}


def deep(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"not": {"items": schema}}
    return schema


def names(count: int) -> dict[str, Any]:
    return {f"name{i}": {"type": "string"} for i in range(count)}


HOSTILE: list[dict[str, Any]] = [
    {"response_format": form(chain(4_000))},
    {"response_format": form({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})},
    {"response_format": form({"$ref": "#", "type": "object"})},
    {"response_format": form(deep(250))},
    {"response_format": form({"type": "object", "properties": dict.fromkeys(map(str, range(10_000)), True)})},
    {"response_format": form({"type": "object", "properties": names(3_000)} | CLOSED)},
    {"response_format": form({"allOf": [{"type": "string", "pattern": f"[a-z]{{{i}}}x"} for i in range(1, 40)]})},
    {"response_format": form({"enum": ["x" * 1_000_000]})},
    {"response_format": form({"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"})},
    {"response_format": form({"oneOf": [{"properties": names(40)} for _ in range(40)]})},
    {"response_format": form({"not": {"enum": [f"{i}" for i in range(2_000)]}})},
    {"response_format": form({"type": "string", "pattern": "(?=a)b"})},
    {"response_format": form({"$ref": "#/nowhere"})},
    {"response_format": form({"type": "strin"})},
    {"structured_outputs": {"regex": "((a{1,999}){1,999}){1,999}"}},
    {"structured_outputs": {"regex": "(a"}},
    {"structured_outputs": {"grammar": "start: start start"}},
    {"structured_outputs": {"grammar": "no grammar at all"}},
    {"response_format": form(nested(11))},
    {"response_format": form({"enum": [f"{random.Random(i).random()}" for i in range(9_000)]})},
    {"response_format": form({"type": "array", "items": {"type": "string"}, "minItems": 10**9})},
]


@pytest.mark.parametrize("fields", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_form_meets_a_limit_and_disturbs_nobody(start: Start, fields: dict[str, Any]) -> None:
    engine = await start()
    talk = engine.chat(request("the", max_tokens=300))
    await first(talk)
    gaps: list[float] = []

    async def listen() -> None:
        last = time.perf_counter()
        async for _ in talk:
            gaps.append(time.perf_counter() - last)
            last = time.perf_counter()

    listening = asyncio.create_task(listen())
    try:
        answer = await ask(engine, temperature=1.0, **(FREE | {"max_tokens": 30}), **fields)
        assert answer.choices[0].finish_reason in ("stop", "length")
    except BadRequest as refused:
        assert refused.param
    await listening
    assert max(gaps) < 1.5
    assert whole(engine)


async def test_what_was_compiled_or_refused_once_is_known(start: Start) -> None:
    engine = await start()
    tried: list[Any] = []
    grammars = engine._asker._grammars
    once = grammars._try
    grammars._try = lambda form: tried.append(1) or once(form)  # type: ignore[method-assign]
    for schema in (PERSON, {"type": "array", "uniqueItems": True}):
        for _ in range(2):
            await asyncio.gather(*(refused_or_said(engine, schema) for _ in range(3)))
    assert len(tried) == 2


async def refused_or_said(engine: Any, schema: Any) -> None:
    with contextlib.suppress(BadRequest):
        await ask(engine, response_format=form(schema), **(FREE | {"max_tokens": 3}))


async def test_a_limit_met_on_the_way_is_an_error_and_no_end(start: Start) -> None:
    engine = await start()
    limits = grammar.LIMITS
    grammar.LIMITS = LLParserLimits(max_items_in_row=20)
    many = [{"type": "object", "properties": {f"name{i}": {"type": "integer"}}} for i in range(40)]
    some = {"type": "object", "properties": {"a": {"anyOf": many}}, "required": ["a"]}
    try:
        with pytest.raises(BadRequest, match="limit"):
            await ask(engine, response_format=form(some), **FREE)
    finally:
        grammar.LIMITS = limits
