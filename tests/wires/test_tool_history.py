"""Calls and results of earlier turns: what is wrong is found, what is said in several ways is left in one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calling import HELLO, asks, call, ids, plain, read, refused, result, tool
from tertulia.errors import BadRequest
from tertulia.wires import openai

some_id = st.none() | st.sampled_from(["", "a", "b", "call_0", "call_1"])
some_call = st.builds(call, some_id, st.sampled_from(["{}", '{"a": 1}', "", None]))
history = st.lists(
    st.just(HELLO) | st.builds(result, some_id) | st.lists(some_call, max_size=3).map(lambda calls: asks(*calls)),
    max_size=6,
)


def test_a_result_has_the_id_of_a_call_before_it():
    assert ids(read(asks(call("a"), call("b")), result("b"), result("a"))) == [["a", "b"], "b", "a"]


def test_a_result_without_an_id_answers_the_next_call_that_has_none_yet():
    request = read(asks(call("a"), call("b"), call("c")), result("b"), result(), result(""))
    assert ids(request) == [["a", "b", "c"], "b", "a", "c"]
    assert request.warnings == []


def test_a_result_without_an_id_answers_no_call_of_an_earlier_turn():
    assert ids(read(asks(call("a")), HELLO, asks(call("b")), result())) == [["a"], ["b"], "b"]
    assert ids(read(asks(call("a")), asks(call("b")), result(), result())) == [["a"], ["b"], "a", "b"]


def test_calls_without_ids_are_given_ids_that_nobody_has():
    first = [asks(call(), call("")), result(), result("call_1")]
    assert ids(read(*first)) == [["call_0", "call_1"], "call_0", "call_1"]
    # More turns leave the first ones' ids as they were.
    assert ids(read(*first, asks(call()), result())) == [["call_0", "call_1"], "call_0", "call_1", ["call_2"], "call_2"]
    assert ids(read(asks(call(), call("call_0"), call()), result())) == [["call_1", "call_0", "call_3"], "call_1"]


def test_an_id_may_come_again_in_another_message():
    """Some servers call each answer's first call "0"."""
    turns = [asks(call("0")), result("0"), asks(call("0")), result("0"), HELLO, asks(call("0")), result()]
    assert ids(read(*turns)) == [["0"], "0", ["0"], "0", ["0"], "0"]


def test_calls_may_stay_without_results():
    assert ids(read(asks(call("a"), call("b")), HELLO)) == [["a", "b"]]
    assert ids(read(asks(call("a"), call("b")), result("b"), HELLO, result("a"))) == [["a", "b"], "b", "a"]


def test_no_calls_are_said_with_an_empty_list_too():
    request = read({"role": "assistant", "content": "4", "tool_calls": []}, {"role": "assistant", "tool_calls": []})
    assert [message.tool_calls for message in request.messages] == [None] * 3
    assert b"tool_calls" not in openai.write_request(request)


def test_tools_of_earlier_turns_need_not_be_on_offer():
    assert read(asks(call("a", name="gone")), result("a"), tools=[tool("f")]).warnings == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", "{}"),
        (None, "{}"),
        ("{}", "{}"),
        ({}, {}),
        ('{"a": 1}', '{"a": 1}'),
        ({"a": 1}, {"a": 1}),
        (" {} ", " {} "),
    ],
)
def test_arguments_are_an_object_or_its_text_or_nothing(given: Any, kept: Any):
    made = read(asks(call("a", given))).messages[1].tool_calls[0]  # type: ignore[index]
    assert made.function.arguments == kept


@pytest.mark.parametrize(("given", "kept"), [("", "{}"), ({"a": 1}, None), ('{"a": 1}', None)])
def test_arguments_may_be_called_parameters(given: Any, kept: Any):
    said = {"id": "a", "function": {"name": "f", "parameters": given}}
    function = read(asks(said)).messages[1].tool_calls[0].function  # type: ignore[index]
    assert (function.arguments, function.parameters) == (kept, given)


HERE = "messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{oops", f"{HERE} must be a JSON object, as a string or as it is; this string is not JSON: "),
        ('{"a": ', f"{HERE} must be a JSON object, as a string or as it is; this string is not JSON: "),
        ('{"a": NaN}', None),
        (" ", None),
        ("[1]", f"{HERE} must be a JSON object, as a string or as it is, not a list"),
        ('"a"', f"{HERE} must be a JSON object, as a string or as it is, not 'a'"),
        ("null", f"{HERE} must be a JSON object, as a string or as it is, not null"),
        ("[" * 50_000, f"{HERE} is nested too deeply"),
        ([1], None),
        (5, None),
    ],
)
def test_arguments_that_are_no_json_object_are_refused(arguments: Any, message: str | None):
    param, told = refused(asks(call("a", arguments)))
    assert param == HERE
    assert told.startswith(message or HERE)


@pytest.mark.parametrize("parameters", [[1], 5, "{", "[]"])
def test_so_they_are_under_their_other_name(parameters: Any):
    said = {"id": "a", "function": {"name": "f", "parameters": parameters}}
    assert refused(asks(said))[0] == "messages[1].tool_calls[0].function.parameters"


@pytest.mark.parametrize(
    ("messages", "param", "message"),
    [
        (
            [result("a")],
            "messages[1]",
            "messages[1] is a tool's result, but no message before it calls a tool",
        ),
        ([result(), asks(call("a"))], "messages[1]", None),
        (
            [asks(call("a"), call("b")), result("x")],
            "messages[2].tool_call_id",
            "messages[2].tool_call_id must be a call's id before it ('b', 'a'), not 'x'",
        ),
        ([asks(call("a")), result("b"), asks(call("b"))], "messages[2].tool_call_id", None),
        (
            [asks(call("a")), result("a"), result("a")],
            "messages[3].tool_call_id",
            "messages[3].tool_call_id: the call 'a' has its result already",
        ),
        (
            [asks(call("a")), result("a"), result()],
            "messages[3]",
            "messages[3] is a tool's result, but every call before it has one; say which in tool_call_id",
        ),
        (
            [asks(call("a"), call("a"))],
            "messages[1].tool_calls[1].id",
            "messages[1].tool_calls[1].id must differ from the message's other calls', one of which is 'a' too",
        ),
        (
            [asks(call("a", name="two words"))],
            "messages[1].tool_calls[0].function.name",
            "messages[1].tool_calls[0].function.name must be 1 to 64 letters, digits, '_', '-' or '.', not 'two words'",
        ),
        (
            [{"role": "user", "content": "", "tool_calls": [call("a")]}],
            "messages[1].tool_calls",
            "messages[1].tool_calls: only the assistant calls tools, not the role user",
        ),
        (
            [asks({"id": "a", "type": "custom", "custom": {"name": "f", "input": ""}})],
            "messages[1].tool_calls[0].type",
            "messages[1].tool_calls[0].type must be 'function', not 'custom'",
        ),
    ],
)
def test_a_history_that_does_not_fit_together_is_refused(messages: Any, param: str, message: str | None):
    told = refused(*messages)
    assert told == (param, message or told[1])


def test_the_old_form_of_a_call_is_accepted_with_a_warning():
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    request = read(old, {"role": "function", "name": "f", "content": "4"})
    assert request.warnings == ["messages[].function_call is an old form that models here don't see; use tool_calls"]


def test_a_long_history_takes_no_more_time_than_its_length():
    many = 20_000
    request = read(asks(*(call() for _ in range(many))), *(result() for _ in range(many)))
    assert request.messages[-1].tool_call_id == f"call_{many - 1}"


@given(history | st.lists(st.builds(call, plain, plain) | plain, max_size=3).map(lambda calls: [asks(*calls)]))
def test_whatever_history_comes_is_settled_once_and_for_all_or_a_bad_request(messages: Any):
    try:
        request = read(*messages)
    except BadRequest as error:
        assert error.param and error.param.startswith("messages[")
        return
    assert openai.read_request(openai.write_request(request)) == request
    called = [made.id for message in request.messages for made in message.tool_calls or ()]
    answered = [message.tool_call_id for message in request.messages if message.role == "tool"]
    assert all(called) and all(answered)
    assert all(called.count(named) >= answered.count(named) > 0 for named in answered)
