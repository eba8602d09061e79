"""Tools, the choice among them, their history: what is wrong is found, what is said in several ways is left in one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.errors import BadRequest
from tertulia.types import ChatRequest
from tertulia.wires import openai
from tertulia.wires.tools import MOST_TOOLS

HELLO = {"role": "user", "content": "Hello"}


def tool(name: Any = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name} | fields}


def call(given: Any = None, arguments: Any = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": given, "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(given: Any = None) -> dict[str, Any]:
    return {"role": "tool", "content": "4", "tool_call_id": given}


def read(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    return openai.read_request(json.dumps({"messages": [HELLO, *messages]} | fields).encode())


def refused(*messages: dict[str, Any], **fields: Any) -> tuple[str | None, str]:
    with pytest.raises(BadRequest) as caught:
        read(*messages, **fields)
    return caught.value.param, caught.value.message


def ids(request: ChatRequest) -> list[Any]:
    """The ids of calls, in a list for each message, and of results."""
    found: list[Any] = []
    for message in request.messages:
        if message.tool_calls:
            found.append([made.id for made in message.tool_calls])
        if message.role == "tool":
            found.append(message.tool_call_id)
    return found


# ---------------------------------------------------------------- tools on offer


@pytest.mark.parametrize("name", ["f", "get_weather", "functions.get-weather", "9", "a" * 64])
def test_a_tool_has_a_name(name: str):
    assert read(tools=[tool(name)]).tools[0].function.name == name  # type: ignore[index]


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"properties": {}}, {"type": ["object", "null"]}])
def test_parameters_are_a_schema_of_an_object_or_nothing(parameters: Any):
    assert read(tools=[tool(parameters=parameters)]).tools[0].function.parameters == parameters  # type: ignore[index]


@pytest.mark.parametrize(
    ("tools", "param", "message"),
    [
        (
            [tool("get weather")],
            "tools[0].function.name",
            "tools[0].function.name must be 1 to 64 letters, digits, '_', '-' or '.', not 'get weather'",
        ),
        ([tool("")], "tools[0].function.name", None),
        ([tool("a" * 65)], "tools[0].function.name", None),
        ([tool("olá")], "tools[0].function.name", None),
        ([tool("f\n")], "tools[0].function.name", None),
        ([tool(5)], "tools[0].function.name", None),
        (
            [tool("a"), tool("f"), tool("f")],
            "tools[2].function.name",
            "tools[2].function.name must differ from tools[1]'s, which is 'f' too",
        ),
        ([tool() | {"type": "web"}], "tools[0].type", "tools[0].type must be 'function', not 'web'"),
        (
            [tool(), {"type": "custom", "custom": {"name": "f"}}],
            "tools[1].type",
            "tools[1].type must be 'function', not 'custom'",
        ),
        ([{"type": "function", "name": "f"}], "tools[0].function", "tools[0].function is required"),
        (
            [tool(parameters="{}")],
            "tools[0].function.parameters",
            "tools[0].function.parameters must be a JSON Schema: an object, not '{}'",
        ),
        ([tool(parameters=True)], "tools[0].function.parameters", None),
        (
            [tool(parameters={"type": "array"})],
            "tools[0].function.parameters.type",
            "tools[0].function.parameters.type must be 'object', not 'array': arguments have names",
        ),
        ([tool(parameters={"type": ["string"]})], "tools[0].function.parameters.type", None),
        ([tool(parameters={"properties": []})], "tools[0].function.parameters.properties", None),
        (
            [tool(), tool("g", parameters={"type": "object", "properties": {"a": {"type": "strin"}}})],
            "tools[1].function.parameters.properties.a.type",
            None,
        ),
        (
            [tool(str(i)) for i in range(MOST_TOOLS + 1)],
            "tools",
            f"tools may hold at most {MOST_TOOLS} items, not {MOST_TOOLS + 1}",
        ),
    ],
)
def test_a_tool_that_is_wrong_is_told_with_its_path(tools: Any, param: str, message: str | None):
    told = refused(tools=tools)
    assert told == (param, message or told[1])


def test_an_empty_list_of_tools_is_none():
    assert read(tools=[]) == read()


def test_parallel_calls_without_tools_are_left_out_with_a_warning():
    request = read(parallel_tool_calls=True)
    assert request.parallel_tool_calls is None
    assert request.warnings == ["parallel_tool_calls is ignored: there are no tools"]
    assert read(parallel_tool_calls=False, tools=[tool()]).warnings == []


def test_tools_and_a_form_of_the_answer_go_together():
    assert read(tools=[tool()], response_format={"type": "json_object"}).warnings == []
    assert read(tools=[tool()], structured_outputs={"choice": ["a"]}).warnings == []


@pytest.mark.parametrize("effort", [None, "none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_effort_that_there_is_is_read(effort: str | None):
    assert read(reasoning_effort=effort).reasoning_effort == effort


# ---------------------------------------------------------------- the choice among them


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_a_choice_that_needs_no_tools_is_taken_without(choice: str | None):
    assert read(tool_choice=choice).tool_choice == choice


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "g"}},
        {"function": {"name": "g"}},
        {"type": "function", "name": "g"},
        {"name": "g"},
        "g",
    ],
)
def test_a_tool_may_be_named_in_many_ways_and_is_left_named_in_one(choice: Any):
    request = read(tools=[tool("f"), tool("g")], tool_choice=choice)
    assert request.tool_choice == {"type": "function", "function": {"name": "g"}}


def test_a_tool_that_is_called_as_a_mode_can_be_chosen_by_an_object():
    tools = [tool("required"), tool("g")]
    assert read(tools=tools, tool_choice="required").tool_choice == "required"
    choice = {"type": "function", "function": {"name": "required"}}
    assert read(tools=tools, tool_choice=choice).tool_choice == choice


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_are_the_only_ones_on_offer(mode: str):
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool("h"), tool("f")]}}
    request = read(tools=[tool("f"), tool("g"), tool("h")], tool_choice=choice)
    assert [item.function.name for item in request.tools or ()] == ["f", "h"]
    assert request.tool_choice == mode


def allowed(mode: Any, tools: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


HOW = 'tool_choice must be one of auto, none, required, or name a tool: {"type": "function", "function": {"name": ...}}'
WHICH = "tool_choice.allowed_tools must have a mode, auto or required, and tools, one at least"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("x", "tool_choice: there is no tool 'x' among tools, which has 'f', 'g'"),
        ({"function": {"name": "x"}}, "tool_choice: there is no tool 'x' among tools, which has 'f', 'g'"),
        ("", "tool_choice: there is no tool '' among tools, which has 'f', 'g'"),
        ({}, HOW),
        ({"type": "auto"}, HOW),
        ({"function": "f"}, HOW),
        ({"function": {"name": 5}}, HOW),
        ({"type": "custom", "custom": {"name": "f"}}, HOW),
        ({"type": "custom", "name": "f"}, HOW),
        (allowed("auto", [tool("x")]), "tool_choice: there is no tool 'x' among tools, which has 'f', 'g'"),
        (allowed("auto", ["f"]), HOW),
        (allowed("auto", []), WHICH),
        (allowed("none", [tool("f")]), WHICH),
        ({"type": "allowed_tools", "mode": "auto"}, WHICH),
    ],
)
def test_a_choice_that_there_is_not_is_told_with_those_there_are(choice: Any, message: str):
    path = "tool_choice.allowed_tools" if message == WHICH else "tool_choice"
    assert refused(tools=[tool("f"), tool("g")], tool_choice=choice) == (path, message)


@pytest.mark.parametrize("choice", ["required", "f", {"function": {"name": "f"}}])
@pytest.mark.parametrize("tools", [None, []])
def test_a_choice_of_a_tool_needs_tools(choice: Any, tools: Any):
    name = "required" if choice == "required" else "f"
    assert refused(tools=tools, tool_choice=choice) == ("tool_choice", f"tool_choice '{name}' needs tools beside it")


def test_of_many_tools_some_are_told():
    _, message = refused(tools=[tool(str(i)) for i in range(20)], tool_choice="x")
    assert message.endswith("which has '0', '1', '2', '3', '4', '5', '6', '7', more")


# ---------------------------------------------------------------- earlier turns


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


# ---------------------------------------------------------------- whatever comes

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "f", "g", "object", "string", "{}", "{", "#/a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "anyOf", "$ref", "name", "function", "tools"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=5,
)
some_id = st.none() | st.sampled_from(["", "a", "b", "call_0", "call_1"])
some_call = st.builds(call, some_id, st.sampled_from(["{}", '{"a": 1}', "", None]))
history = st.lists(
    st.just(HELLO) | st.builds(result, some_id) | st.lists(some_call, max_size=3).map(lambda calls: asks(*calls)),
    max_size=6,
)


@given(
    st.lists(st.builds(tool, st.sampled_from(["f", "g"]) | plain, parameters=plain) | plain, max_size=3) | plain,
    st.sampled_from(["auto", "none", "required", "f"]) | plain,
)
def test_whatever_tools_and_choices_come_make_a_request_or_a_bad_request(tools: Any, choice: Any):
    try:
        openai.write_request(read(tools=tools, tool_choice=choice))
    except BadRequest as error:
        assert error.param


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
