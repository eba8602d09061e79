"""Tools on offer: what may be called, what must be, and that it is a valid call whatever the model."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

import schemas
import tiny
from asking import Start, request, stream, whole
from tertulia.engine.calls import closed, read_offer
from tertulia.engine.engine import Engine
from tertulia.engine.formats import FORMATS, GENERIC, find_format
from tertulia.engine.template import Template
from tertulia.errors import BadRequest, ConfigError
from tertulia.fold import fold
from tertulia.types import ChatRequest, Choice, Chunk, Function, Tool

TOOLS = [
    Tool(
        Function(
            "get_weather",
            "The weather.",
            {
                "type": "object",
                "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "maximum": 9}},
                "required": ["city"],
            },
        )
    ),
    Tool(Function("ping", None, {"type": "object", "properties": {}})),
    Tool(Function("set-mode.v2", "Sets it.", {"type": "object", "properties": {"on": {"type": "boolean"}}})),
]
TALKATIVE: dict[str, Any] = {"ignore_eos": False, "logit_bias": {}, "max_tokens": 120, "temperature": 1.0}


async def ask(engine: Engine, **fields: Any) -> tuple[Choice, list[Chunk]]:
    asked = request("The weather?", **({"tools": TOOLS} | TALKATIVE | fields))
    chunks = await stream(engine, asked)
    return fold(chunks).choices[0], chunks


def calls(choice: Choice) -> list[tuple[str, Any]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or []]


def assert_valid(choice: Choice) -> None:
    by_name: dict[str, Any] = {tool.function.name: tool.function.parameters for tool in TOOLS}
    for name, arguments in calls(choice):
        Draft202012Validator(by_name[name]).validate(arguments)
        assert arguments.keys() <= by_name[name]["properties"].keys()


# ---------------------------------------------------------------- what is offered


def offer(**fields: Any) -> Any:
    return read_offer(msgspec.structs.replace(request(), **({"tools": TOOLS} | fields)))


def test_without_tools_or_with_none_chosen_nothing_is_offered() -> None:
    assert offer(tools=None) is None
    assert offer(tools=[]) is None
    assert offer(tool_choice="none") is None


def test_by_default_the_model_may_call_what_it_likes() -> None:
    assert (offer().tools, offer().must, offer().one) == (TOOLS, False, False)
    assert offer(parallel_tool_calls=False).one


def test_a_required_call_is_one_unless_several_are_asked_for() -> None:
    found = offer(tool_choice="required")
    assert (found.tools, found.must, found.one) == (TOOLS, True, True)
    assert not offer(tool_choice="required", parallel_tool_calls=True).one


@pytest.mark.parametrize(
    "choice", ["ping", {"type": "function", "function": {"name": "ping"}}, {"function": {"name": "ping"}}]
)
def test_a_named_tool_is_the_only_one(choice: Any) -> None:
    found = offer(tool_choice=choice)
    assert [tool.function.name for tool in found.tools] == ["ping"]
    assert found.must
    assert found.one


def test_a_name_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match=r"get_weather, ping, set-mode\.v2") as refusal:
        offer(tool_choice="pong")
    assert refusal.value.param == "tool_choice"


def test_arguments_are_only_those_that_the_schema_names() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}}
    shut = closed(schema)
    assert shut["additionalProperties"] is False
    assert shut["properties"]["a"]["additionalProperties"] is False
    assert "additionalProperties" not in schema


@pytest.mark.parametrize("word", [{"additionalProperties": True}, {"anyOf": [{}]}, {"patternProperties": {"^x": {}}}])
def test_but_where_it_says_otherwise(word: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": {}}} | word
    assert closed(schema) == schema


@pytest.mark.parametrize("more", [{"maxLength": 300}, {"minLength": 300}, {"const": "x"}, {"enum": ["x"]}])
def test_strings_of_a_format_have_a_bound_where_the_schema_sets_none(more: dict[str, Any]) -> None:
    plain = {"type": ["string", "null"], "format": "email"}
    assert closed({"items": plain}) == {"items": plain | {"maxLength": 254}}
    assert closed(plain | more) == plain | more
    assert closed({"format": "uri"}) == {"format": "uri"}


POINT = {"type": "object", "properties": {"x": {}}}
SHUT = POINT | {"additionalProperties": False}
REF = {"$ref": "#/$defs/point"}


@pytest.mark.parametrize(
    "use",
    [
        {"items": REF},
        {"prefixItems": [{}, REF]},
        {"properties": {"a": REF | {"description": "A."}}, "additionalProperties": False},
        {"properties": {"a": {"anyOf": [REF, {"type": "null"}]}}, "additionalProperties": False},
        {"additionalProperties": REF},
    ],
)
def test_definitions_are_closed_too(use: dict[str, Any]) -> None:
    assert closed(use | {"$defs": {"point": POINT}}) == use | {"$defs": {"point": SHUT}}


@pytest.mark.parametrize(
    "use",
    [
        {"allOf": [REF, {"properties": {"y": {}}}]},
        {"oneOf": [REF, {"type": "object"}]},
        {"properties": {"y": {}}} | REF,
        {"anyOf": [REF, {}], "properties": {"y": {}}},
        {"$defs": {"dot": REF}},
        {"not": REF},
    ],
)
def test_but_not_what_is_put_together(use: dict[str, Any]) -> None:
    schema = use | {"$defs": {"point": POINT} | use.get("$defs", {})}
    assert closed(schema) == schema


def test_each_of_several_ways_is_closed() -> None:
    assert closed({"items": {"anyOf": [POINT, {"type": "null"}]}}) == {"items": {"anyOf": [SHUT, {"type": "null"}]}}
    beside = {"anyOf": [POINT, {"type": "null"}], "properties": {"y": {}}}
    assert closed(beside) == beside


# ---------------------------------------------------------------- what is called


@pytest.mark.parametrize("format", [*(format.name for format in FORMATS), GENERIC.name])
async def test_a_required_call_is_valid_in_every_format(start: Start, format: str) -> None:
    engine = await start(formats=[f"tiny/smollm2={format}"])
    for seed in range(3):
        for choice in ("required", "get_weather"):
            made, _ = await ask(engine, tool_choice=choice, seed=seed)
            assert made.finish_reason in ("tool_calls", "length")
            assert not made.message.content
            if made.finish_reason == "tool_calls":
                assert_valid(made)
                assert len(calls(made)) == 1
                assert choice == "required" or calls(made)[0][0] == choice
    assert whole(engine)


async def test_the_stream_names_the_call_first_and_then_its_arguments(start: Start) -> None:
    engine = await start()
    made, chunks = await ask(engine, tool_choice="get_weather", seed=1)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert deltas[0].role == "assistant"
    first, *others = [call for delta in deltas for call in delta.tool_calls or []]
    assert first.function
    assert (first.index, first.type, first.function.name, first.function.arguments) == (
        0,
        "function",
        "get_weather",
        "",
    )
    assert str(first.id).startswith("call_")
    assert all(not other.id and not other.type and other.function and not other.function.name for other in others)
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == [
        made.finish_reason
    ]


async def test_several_calls_have_their_own_numbers_and_ids(start: Start) -> None:
    engine = await start(formats=["tiny/smollm2=hermes"])
    for seed in range(20):
        made, _ = await ask(engine, tool_choice="required", parallel_tool_calls=True, seed=seed, max_tokens=200)
        found = made.message.tool_calls or []
        if len(found) > 1:
            break
    assert len(found) > 1
    assert len({call.id for call in found}) == len(found)
    assert_valid(made) if made.finish_reason == "tool_calls" else None


async def test_what_begins_as_a_call_becomes_one(start: Start) -> None:
    """A model of random weights would never finish a call by itself. Its first words are put into its mouth."""
    engine = await start(formats=["tiny/smollm2=hermes"])
    asker = engine._asker
    real = asker._grammar

    async def begun(*given: Any) -> Any:
        grammar, warnings = await real(*given)
        assert grammar is not None
        for token in engine._tokens.encode("Well.\n<tool_call>"):
            assert grammar._matcher.consume_token(token)
        return grammar, warnings

    asker._grammar = begun
    made, _ = await ask(engine, seed=4, max_tokens=60)
    assert made.message.tool_calls
    assert_valid(made)


async def test_under_auto_text_is_the_same_as_without_tools(start: Start) -> None:
    engine = await start(formats=["tiny/smollm2=hermes"])
    plan = await engine._asker.plan(request("the", tools=TOOLS), 1)
    bare = await engine._asker.plan(request("the"), 1)
    assert plan.grammar is not None
    assert bare.grammar is None
    allowed = plan.grammar.begin().allowed()
    words = [token for token in range(512) if (word := engine._tokens.word(token)) and word.isascii()]
    assert not allowed[[word for word in words if word not in engine._tokens.added]].any()


async def test_the_answer_is_in_the_form_or_a_call(start: Start) -> None:
    engine = await start(formats=["tiny/smollm2=hermes"])
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": [1, 2]}}}
    seen: set[str] = set()
    for seed in range(12):
        made, _ = await ask(engine, response_format=form, seed=seed)
        seen.add(made.finish_reason)
        if made.finish_reason == "stop":
            assert json.loads(made.message.content or "") in (1, 2)
        else:
            assert made.message.content is None
            assert_valid(made) if made.finish_reason == "tool_calls" else None
    assert "stop" in seen


async def test_what_cannot_be_enforced_is_named_and_refused_where_strict(start: Start) -> None:
    engine = await start()
    odd = {"type": "object", "properties": {"a": {"not": {"pattern": "b"}}}}
    strict = [TOOLS[1], Tool(Function("odd", parameters=odd, strict=True))]
    with pytest.raises(BadRequest, match="not") as refusal:
        await ask(engine, tools=strict)
    assert str(refusal.value.param).startswith("tools[1].function.parameters.properties.a")
    lax = [TOOLS[1], Tool(Function("odd", parameters=odd))]
    _, chunks = await ask(engine, tools=lax, max_tokens=3)
    assert chunks[0].meta
    assert any("tools[1].function.parameters" in warning for warning in chunks[0].meta.warnings)


# ---------------------------------------------------------------- formats and templates

KNOWN = {
    "Qwen-Qwen2.5-7B-Instruct.jinja": "hermes",
    "Qwen-Qwen3-0.6B.jinja": "hermes",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja": "hermes",
    "Qwen3-Coder.jinja": "qwen3-coder",
    "Qwen3.5-4B.jinja": "qwen3-coder",
    "meta-llama-Llama-3.1-8B-Instruct.jinja": "llama-3",
    "meta-llama-Llama-3.2-3B-Instruct.jinja": "llama-3",
    "meta-llama-Llama-3.3-70B-Instruct.jinja": "llama-3",
    "llama-cpp-deepseek-r1.jinja": "deepseek-r1",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja": "deepseek-r1",
    "deepseek-ai-DeepSeek-V3.1.jinja": "deepseek-v3",
    "deepseek-ai-DeepSeek-V3.2.jinja": "deepseek-v3.2",
    "mistralai-Mistral-Nemo-Instruct-2407.jinja": "mistral-list",
    "Mistral-Small-3.2-24B-Instruct-2506.jinja": "mistral-args",
    "mistralai-Ministral-3-14B-Reasoning-2512.jinja": "mistral-args",
    "openai-gpt-oss-120b.jinja": "gpt-oss",
    "google-gemma-4-31B-it.jinja": "gemma-4",
    "google-gemma-2-2b-it.jinja": "generic",
    "microsoft-Phi-3.5-mini-instruct.jinja": "generic",
    "GLM-4.6.jinja": "glm",
    "Kimi-K2-Instruct.jinja": "kimi",
    "Kimi-K2-Thinking.jinja": "kimi",
    "MiniMax-M2.jinja": "minimax-m2",
    "ibm-granite-granite-3.3-2B-Instruct.jinja": "granite",
}


@pytest.mark.parametrize(("template", "format"), KNOWN.items())
def test_the_format_is_read_off_the_template(template: str, format: str) -> None:
    assert find_format(schemas.shared("templates", template).read_text("utf-8")).name == format


def test_a_format_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="hermes"):
        find_format("", "hermse")


def test_a_model_without_tools_in_its_template_writes_the_envelope() -> None:
    template = Template(tiny.TEMPLATE, {})
    assert not template.knows_tools
    found = find_format(tiny.TEMPLATE).with_envelope()
    assert found.forms[0].call == '{"name": "$name", "parameters": $arguments}'
    asked = ChatRequest(messages=request().messages, tools=TOOLS)
    assert all(tool.function.name in template.render(asked).text for tool in TOOLS)
