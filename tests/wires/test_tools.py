"""Tools and the choice among them: what is wrong is found, what is said in several ways is left in one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calling import plain, read, refused, tool
from tertulia.errors import BadRequest
from tertulia.wires import openai
from tertulia.wires.tools import MOST_TOOLS


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


@given(
    st.lists(st.builds(tool, st.sampled_from(["f", "g"]) | plain, parameters=plain) | plain, max_size=3) | plain,
    st.sampled_from(["auto", "none", "required", "f"]) | plain,
)
def test_whatever_tools_and_choices_come_make_a_request_or_a_bad_request(tools: Any, choice: Any):
    try:
        openai.write_request(read(tools=tools, tool_choice=choice))
    except BadRequest as error:
        assert error.param
