"""OpenAI's dialect, the requests: what is wrong is said so that it can be put right."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.errors import BadRequest
from tertulia.types import (
    Caller,
    CallFunction,
    ChatRequest,
    Function,
    Image,
    ImageUrl,
    Message,
    StreamOptions,
    Text,
    Tool,
    ToolCall,
)
from tertulia.wires import openai

HELLO = [{"role": "user", "content": "Hello"}]


def read(**fields: Any) -> ChatRequest:
    return openai.read_request(json.dumps({"messages": HELLO} | fields).encode())


def refused(body: bytes | None = None, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        openai.read_request(json.dumps({"messages": HELLO} | fields).encode() if body is None else body)
    return caught.value


# ---------------------------------------------------------------- requests that are right

words = st.text(max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
parts = st.builds(Text, text=words) | st.builds(Image, image_url=st.builds(ImageUrl, url=words))
names = st.text("aB1_-.", min_size=1, max_size=5)
objects = st.dictionaries(words, plain, max_size=2)
arguments = objects | objects.map(json.dumps)
calls = st.builds(ToolCall, id=words.filter(bool), function=st.builds(CallFunction, name=names, arguments=arguments))
texts = words | st.lists(parts, max_size=2)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "developer", "user", "assistant"]),
    content=texts,
    name=st.none() | words,
    reasoning=st.none() | words,
)


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """An assistant's message with calls, and the results of some of them in any order."""
    called = draw(st.lists(calls, min_size=1, max_size=3, unique_by=lambda call: call.id))
    ids = draw(st.lists(st.sampled_from([call.id for call in called]), unique=True))
    results = [Message(role="tool", content=draw(texts), tool_call_id=named) for named in ids]
    return [Message(role="assistant", content=draw(st.none() | texts), tool_calls=called), *results]


chats = st.lists(messages.map(lambda message: [message]) | turns(), min_size=1, max_size=3).map(
    lambda several: [message for some in several for message in some]
)
tools = st.lists(
    st.builds(
        Tool, function=st.builds(Function, name=names, parameters=st.sampled_from([None, {}, {"type": "object"}]))
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda tool: tool.function.name,
)
choices = st.sampled_from([None, "auto", "none"])


@st.composite
def offers(draw: st.DrawFn, request: ChatRequest) -> ChatRequest:
    """``request`` with tools, and a choice that needs them."""
    request.tools = draw(tools)
    named = {"type": "function", "function": {"name": draw(st.sampled_from(request.tools)).function.name}}
    request.tool_choice = draw(choices | st.sampled_from(["required", named]))
    request.parallel_tool_calls = draw(st.none() | st.booleans())
    return request


bare = st.builds(
    ChatRequest,
    messages=chats,
    model=st.none() | words.filter(str.isprintable),
    stream=st.none() | st.booleans(),
    stream_options=st.none() | st.builds(StreamOptions, include_usage=st.none() | st.booleans()),
    max_tokens=st.none() | st.integers(1, 9999),
    n=st.none() | st.integers(1, 16),
    temperature=st.none() | st.floats(0, 2),
    logit_bias=st.none() | st.dictionaries(st.integers(0, 99).map(str), st.floats(-100, 100), max_size=2),
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    stop=st.none() | words.filter(bool) | st.lists(words.filter(bool), max_size=4),
    logprobs=st.just(True),
    top_logprobs=st.none() | st.integers(0, 20),
    tool_choice=choices,
    reasoning_effort=st.none() | st.sampled_from(["none", "max"]),
    extra=st.dictionaries(words.filter(lambda name: name not in ChatRequest.__struct_fields__), plain, max_size=2),
)
requests = bare | bare.flatmap(offers)


@given(requests)
def test_a_request_that_was_written_is_read_back(request: ChatRequest):
    again = openai.read_request(openai.write_request(request))
    request.warnings = again.warnings
    assert again == request


def test_every_field_of_the_page_is_read():
    request = read(
        frequency_penalty=1.0,
        logit_bias=[0.5, 0, -1],
        logprobs=True,
        max_tokens=32,
        model="m",
        n=2,
        presence_penalty=0.1,
        reasoning_effort="low",
        response_format={"type": "json_object"},
        seed=42,
        stop=["a", "b"],
        stream=True,
        stream_options={"include_usage": True},
        temperature=1,
        tool_choice={"type": "function", "function": {"name": "f"}},
        tool_prompt="use a tool",
        tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
        top_logprobs=5,
        top_p=0.95,
    )
    assert request.warnings == [] and request.extra == {}
    assert (request.top_p, request.n, request.logit_bias) == (0.95, 2, [0.5, 0, -1])


def test_null_is_the_same_as_not_said():
    nulls = {
        name: None
        for name in ChatRequest.__struct_encode_fields__
        if name not in ("messages", "extra", "warnings", "caller", "asked")
    }
    assert read(**nulls) == read()


def test_unknown_fields_are_kept_named_and_passed_on():
    request = read(flavour="mint", options={"x": 1})
    assert request.extra == {"flavour": "mint", "options": {"x": 1}}
    assert request.warnings == ["flavour is not a known field", "options is not a known field"]
    assert json.loads(openai.write_request(request))["options"] == {"x": 1}


def test_nobody_says_in_a_body_who_he_is():
    request = read(caller={"name": "root", "request_id": "x"}, extra={"a": 1}, warnings=["b"])
    assert request.caller == Caller()
    assert set(request.extra) == {"caller", "extra", "warnings"}


def test_the_caller_does_not_travel():
    request = read()
    request.caller = Caller("somebody", "req-1")
    assert set(json.loads(openai.write_request(request))) == {"messages"}


def test_unknown_fields_below_the_top_are_named():
    part = {"type": "text", "text": "a", "cache_control": {}}
    image = {"type": "image_url", "image_url": {"url": "data:,", "min_pixels": 4}}
    request = read(messages=[{"role": "user", "content": [part, image], "weight": 1}])
    assert request.warnings == [
        "messages[].content[].cache_control is not a known field and was left out",
        "messages[].content[].image_url.min_pixels is not a known field and was left out",
        "messages[].weight is not a known field and was left out",
    ]


def test_an_answer_that_an_sdk_sends_back_whole_is_accepted():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    sdk = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "audio": None,
        "annotations": [],
        "function_call": None,
    }
    tgi = {"id": "2", "type": "function", "function": {"name": "g", "parameters": {"a": 1}, "description": None}}
    result = {"role": "tool", "content": "4", "tool_call_id": "1"}
    request = read(
        messages=[*HELLO, {**sdk, "tool_calls": [call, tgi]}, result, {"role": "assistant", "tool_calls": [call]}]
    )
    assert request.warnings == []
    assert request.messages[1].tool_calls[1].function.parameters == {"a": 1}  # type: ignore[index]


def test_the_newer_of_two_names_for_the_same_bound_wins():
    request = read(max_tokens=5, max_completion_tokens=9)
    assert (request.max_tokens, request.max_completion_tokens) == (None, 9)
    assert request.warnings == ["max_tokens is ignored: max_completion_tokens is given too"]


@pytest.mark.parametrize(("given", "kept"), [("", None), ([""], None), (["a", ""], ["a"])])
def test_empty_stop_strings_are_left_out_with_a_warning(given: Any, kept: Any):
    request = read(stop=given)
    assert request.stop == kept
    assert request.warnings == ["stop: an empty string is ignored"]


def test_half_a_surrogate_pair_is_refused_and_not_a_crash():
    error = refused(b'{"messages":[{"role":"user","content":"\\ud83d"}]}')
    assert "surrogate" in error.message
    assert read(messages=[{"role": "user", "content": "\U0001f600"}]).messages[0].content == "\U0001f600"


def test_a_message_of_a_megabyte_is_read():
    assert len(read(messages=[{"role": "user", "content": "x" * (1 << 20)}]).messages[0].content or "") == 1 << 20


# ---------------------------------------------------------------- requests that are wrong


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "the body is empty: a JSON object is needed"),
        (b"Hello", "the body is not JSON"),
        (b'{"messages": [', "the body is not JSON"),
        (b'{"messages": [], "temperature": NaN}', "the body is not JSON"),
        (b'{"messages": [], "temperature": 1e999}', "the body is not JSON"),
        (b'{"messages": "\xff"}', "the body is not UTF-8"),
        ('{"messages": []}'.encode("utf-16"), "the body is not UTF-8"),
        (b"[" * 50_000, "the body is nested too deeply"),
        (b'{"a":' * 50_000, "the body is nested too deeply"),
        (b"[1]", "the body must be a JSON object, not a list"),
        (b'"hello"', "the body must be a JSON object, not 'hello'"),
        (b"null", "the body must be a JSON object, not null"),
    ],
)
def test_a_body_that_is_no_request(body: bytes, what: str):
    error = refused(body)
    assert error.message.startswith(what)
    assert error.param is None


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"temperature": 3}, "temperature", "temperature must be between 0 and 2, not 3"),
        ({"temperature": "hot"}, "temperature", "temperature must be a number, not 'hot'"),
        ({"temperature": True}, "temperature", "temperature must be a number, not true"),
        ({"top_p": 0}, "top_p", "top_p must be above 0 and at most 1, not 0"),
        ({"top_p": 1.5}, "top_p", "top_p must be above 0 and at most 1, not 1.5"),
        ({"n": 0}, "n", "n must be between 1 and 16, not 0"),
        ({"n": 17}, "n", "n must be between 1 and 16, not 17"),
        ({"n": 1.5}, "n", "n must be a whole number, not 1.5"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens must be at least 1, not 0"),
        ({"max_tokens": -5}, "max_tokens", "max_tokens must be at least 1, not -5"),
        ({"seed": 2**64}, "seed", "seed must be a 64-bit whole number, not 18446744073709551616"),
        ({"stop": list("abcde")}, "stop", "stop may hold at most 4 items, not 5"),
        ({"stop": ["a", 1]}, "stop[1]", "stop[1] must be a string, not 1"),
        ({"stop": 7}, "stop", "stop must be a string or a list, not 7"),
        ({"top_logprobs": 5}, "top_logprobs", "top_logprobs needs logprobs: true beside it"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "top_logprobs must be between 0 and 20, not 21"),
        ({"logit_bias": {"Paris": 1}}, "logit_bias", "logit_bias maps token ids to numbers; 'Paris' is no token id"),
        (
            {"logit_bias": {"9" * 20: 1}},
            "logit_bias",
            f"logit_bias maps token ids to numbers; '{'9' * 20}' is no token id",
        ),
        ({"repetition_penalty": 0}, "repetition_penalty", "repetition_penalty must be between 0.01 and 10, not 0"),
        ({"logit_bias": {"5": 101}}, "logit_bias", "logit_bias must be between -100 and 100"),
        ({"logit_bias": [1, 300]}, "logit_bias", "logit_bias holds numbers between -100 and 100"),
        ({"stop_token_ids": [1, -1]}, "stop_token_ids[1]", "stop_token_ids[1] must be at least 0, not -1"),
        ({"stream_options": 5}, "stream_options", "stream_options must be an object, not 5"),
        ({"response_format": {}}, "response_format.type", "response_format.type is required: a string"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name", "tools[0].function.name is required"),
        (
            {"reasoning_effort": "hard"},
            "reasoning_effort",
            "reasoning_effort must be one of none, minimal, low, medium, high, xhigh, max, not 'hard'",
        ),
        ({"model": ["m"]}, "model", "model must be a string, not a list"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_what_would_work(fields: dict[str, Any], param: str, message: str):
    error = refused(**fields)
    assert (error.param, error.message) == (param, message)


@pytest.mark.parametrize(
    ("messages", "param", "message"),
    [
        ("Hello", "messages", "messages must be a list, not 'Hello'"),
        (None, "messages", "messages must be a list, not null"),
        (["Hello"], "messages[0]", "messages[0] must be an object, not 'Hello'"),
        ([{"content": "a"}], "messages[0].role", "messages[0].role is required"),
        ([{"role": "user"}], "messages[0].content", "messages[0].content is required: a string or a list of parts"),
        ([*HELLO, {"role": 5, "content": ""}], "messages[1].role", "messages[1].role must be a string, not 5"),
        (
            [{"role": "user", "content": 5}],
            "messages[0].content",
            "messages[0].content must be a string or a list, not 5",
        ),
        (
            [{"role": "robot", "content": "a"}],
            "messages[0].role",
            "messages[0].role must be one of system, developer, user, assistant, tool, function, not 'robot'",
        ),
        (
            [{"role": "user", "content": [{"type": "audio"}]}],
            "messages[0].content[0].type",
            "messages[0].content[0].type must be one of text, image_url, not 'audio'",
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": {"deep": [1]}}]}],
            "messages[0].content[0].text",
            "messages[0].content[0].text must be a string, not an object",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": 5}}]}],
            "messages[0].tool_calls[0].function.name",
            "messages[0].tool_calls[0].function.name must be a string, not 5",
        ),
    ],
)
def test_a_message_that_is_wrong_is_found_at_any_depth(messages: Any, param: str, message: str):
    error = refused(messages=messages)
    assert (error.param, error.message) == (param, message)


def test_missing_and_empty_messages_are_told_with_an_example():
    for body in (b"{}", b'{"messages": []}'):
        error = refused(body)
        assert error.param == "messages"
        assert '[{"role": "user", "content": "Hello"}] would do' in error.message


def test_long_values_are_not_repeated():
    assert refused(model=[], stop="x" * 500, n="y" * 500).message == "model must be a string, not a list"
    assert refused(n="y" * 500).message == "n must be a whole number, not a string of 500 characters"


@given(st.binary(max_size=60) | plain.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_request_or_a_bad_request(body: bytes):
    try:
        openai.read_request(body)
    except BadRequest as error:
        openai.write_error(error)


@given(st.dictionaries(st.sampled_from([*ChatRequest.__struct_fields__, "odd"]), plain, max_size=4), plain)
def test_whatever_the_fields_hold_is_a_request_or_a_bad_request(fields: dict[str, Any], content: Any):
    body = json.dumps({"messages": [{"role": "user", "content": content}]} | fields).encode()
    try:
        openai.write_request(openai.read_request(body))
    except BadRequest as error:
        json.loads(openai.write_error(error))
