"""What templates can do is found out, and what they can't is made up for: on templates made for each case."""

import json
from contextlib import suppress
from typing import Any

import pytest

from tertulia.engine.template import TOOL_PROMPT, Prompt, Template
from tertulia.errors import BadRequest, StoreError, TemplateRefused
from tertulia.types import CallFunction, ChatRequest, Function, Message, Tool, ToolCall

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELLO = [Message(role="user", content="Olá")]

# ---------------------------------------------------------------- tools

LISTS = CHATML + "{% if tools %}{{ tools | tojson }}{% endif %}"
TOOL = Tool(
    Function("tempo", "Diz o tempo", {"type": "object", "properties": {"onde": {"type": "string"}}}, strict=True)
)
KNOWN = {
    "type": "function",
    "function": {
        "name": "tempo",
        "description": "Diz o tempo",
        "parameters": {"type": "object", "properties": {"onde": {"type": "string"}}},
    },
}


def prompt(source: str, messages: list[Message] | None = None, note: str = "", **fields: Any) -> Prompt:
    made = Template(source, {}, tools=fields.pop("template", ""), care=fields.pop("care", True))
    return made.render(ChatRequest(messages=messages or HELLO, **fields), note)


def test_a_template_that_knows_tools_is_given_them_as_they_are() -> None:
    assert Template(LISTS, {}).knows_tools
    text = prompt(LISTS, tools=[TOOL]).text
    assert text.startswith("<|im_start|>user\nOlá")
    assert json.loads(text.partition("assistant\n")[2]) == [KNOWN]


def test_a_tool_has_what_it_was_given_and_always_parameters() -> None:
    empty = {"type": "object", "properties": {}}
    for function in (Function("f"), Function("f", None, {})):
        text = prompt(LISTS, tools=[Tool(function)]).text
        assert json.loads(text.partition("assistant\n")[2])[0]["function"] == {"name": "f", "parameters": empty}


def test_other_templates_get_the_tools_in_the_system_message() -> None:
    assert not Template(CHATML, {}).knows_tools
    listed = json.dumps([KNOWN], ensure_ascii=False)
    text = prompt(CHATML, [Message("system", "S"), *HELLO], tools=[TOOL]).text
    assert text.startswith(f"<|im_start|>system\nS\n\n{TOOL_PROMPT}\n\n{listed}<|im_end|>\n<|im_start|>user")
    own = prompt(CHATML, tools=[TOOL], tool_prompt="Usa-as.", note="Em JSON.").text
    assert own.startswith(f"<|im_start|>system\nUsa-as.\n\n{listed}\n\nEm JSON.<|im_end|>\n<|im_start|>user")


def test_a_prompt_for_tools_is_not_lost_on_a_template_that_knows_them() -> None:
    assert "system\nUsa-as.<|im_end|>" in prompt(LISTS, tools=[TOOL], tool_prompt="Usa-as.").text
    assert "system" not in prompt(LISTS, tools=[TOOL]).text


@pytest.mark.parametrize("source", [LISTS, CHATML])
def test_tools_are_not_offered_where_none_shall_be_called(source: str) -> None:
    found = prompt(source, tools=[TOOL], tool_prompt="Usa-as.", tool_choice="none")
    assert found.text == prompt(source).text
    assert found.warnings == ["tool_prompt has no effect where tool_choice is none"]
    assert prompt(source, tools=[TOOL], tool_choice="none").warnings == []


def test_a_model_may_have_a_template_for_tools() -> None:
    assert Template(CHATML, {}, tools=LISTS).knows_tools
    assert not Template(LISTS, {}, tools=CHATML).knows_tools
    assert prompt("plain", tools=[TOOL], template="tools").text == "tools"
    assert prompt("plain", template="tools").text == "plain"
    assert prompt("plain", tools=[TOOL], tool_choice="none", template="tools").text == "plain"
    with pytest.raises(StoreError):
        Template(CHATML, {}, tools="{% for %}")


def test_tools_are_written_down_even_by_way_of_a_filter() -> None:
    source = "{% if tools %}{{ tools | map(attribute='function') | tojson }}{% endif %}"
    assert json.loads(prompt(source, tools=[TOOL]).text) == [KNOWN["function"]]


# ---------------------------------------------------------------- calls

CALLS = (
    "{% for m in messages %}[{{ m.role }}:{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<{{ c.function.name }}={{ ARGUMENTS }}>{% endfor %}]{% endfor %}"
)
ROUND = [
    Message("user", "Olá"),
    Message("assistant", tool_calls=[ToolCall(CallFunction("f", arguments='{"a":"é"}'), id="1")]),
    Message("tool", "2", tool_call_id="1"),
]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("c.function.arguments | tojson", '<f={"a": "é"}>'),
        ("c.function.arguments", '<f={"a":"é"}>'),
        ("c.function.arguments + ''", '<f={"a":"é"}>'),
        ("c.function.arguments.items() | list", "<f=[('a', 'é')]>"),
        ("c.function.arguments | tojson | replace('{', '(')", '<f=("a": "é"}>'),
    ],
)
def test_arguments_are_spelt_as_the_template_spells_them_rightly(arguments: str, shown: str) -> None:
    found = prompt(CALLS.replace("ARGUMENTS", arguments), ROUND)
    assert found == Prompt(f"[user:Olá][assistant:{shown}][tool:2]", [])


def test_a_template_that_shows_calls_only_without_content_gets_them_so() -> None:
    source = CALLS.replace("m.tool_calls or []", "((m.tool_calls or []) if m.content is none else [])")
    chat = [ROUND[0], Message("assistant", "Vou ver.", tool_calls=ROUND[1].tool_calls), ROUND[2]]
    text = prompt(source.replace("ARGUMENTS", "c.function.arguments | tojson"), chat).text
    assert text == '[user:Olá][assistant:Vou ver.][assistant:None<f={"a": "é"}>][tool:2]'


def test_a_template_that_knows_no_calls_gets_them_as_text() -> None:
    text = '<|im_start|>assistant\n{"name": "f", "parameters": {"a": "é"}}<|im_end|>\n<|im_start|>user\nf returned:\n2'
    assert text in prompt(CHATML, ROUND, care=False).text
    # Results go where they belong if the template speaks of them.
    knows = CHATML + "{% if messages[0].role == 'tool' %}{% endif %}"
    assert "<|im_start|>tool\n2<|im_end|>" in prompt(knows, ROUND).text


@pytest.mark.parametrize("source", [LISTS, CHATML, CALLS.replace("ARGUMENTS", "c.function.arguments | tojson")])
def test_what_is_nested_too_deeply_is_a_400_at_worst(source: str) -> None:
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"a": deep}
    chat = [ROUND[0], Message("assistant", tool_calls=[ToolCall(CallFunction("f", arguments=deep), id="1")]), ROUND[2]]
    for messages, tools in ((chat, None), (HELLO, [Tool(Function("f", "d", deep))])):
        with suppress(BadRequest):
            prompt(source, messages, tools=tools)


# ---------------------------------------------------------------- care

STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
)
DROPS = "{% for m in messages if m.role != 'system' %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
TAKES_ONE = (
    "{% for m in messages %}{% if loop.first or m.role != 'system' %}"
    "[{{ m.role }}:{{ m.content }}]{% endif %}{% endfor %}"
)
FOLDED = "the system message was folded into the first user message: the model's template takes none"
MERGED = "adjacent messages of equal roles were merged: the model's template wants the roles to alternate"
SYSTEM = Message("system", "S")


@pytest.mark.parametrize("source", [STRICT, DROPS])
def test_a_system_message_is_folded_where_the_template_takes_none(source: str) -> None:
    assert prompt(source, [SYSTEM, *HELLO]) == Prompt("[user:S\n\nOlá]", [FOLDED])
    # What we add is no one's business.
    assert prompt(source, HELLO, note="Em JSON.") == Prompt("[user:Em JSON.\n\nOlá]", [])
    assert prompt(source, HELLO, note="Em JSON.", care=False) == Prompt("[user:Em JSON.\n\nOlá]", [])


def test_messages_of_equal_roles_are_merged_where_roles_must_alternate() -> None:
    assert prompt(STRICT, [*HELLO, *HELLO]) == Prompt("[user:Olá\n\nOlá]", [MERGED])
    assert prompt(CHATML, [*HELLO, *HELLO]).warnings == []


@pytest.mark.parametrize(
    "source", [TAKES_ONE, TAKES_ONE + "{{ raise_exception('no') if messages[2:] and messages[-1].role == 'system' }}"]
)
def test_later_system_messages_are_merged_where_one_is_taken(source: str) -> None:
    found = prompt(source, [SYSTEM, *HELLO, Message("system", "T")])
    assert found.text == "[system:S\n\nT][user:Olá]"
    assert [warning.partition(":")[0] for warning in found.warnings] == [
        "a later system message was merged into the first one"
    ]


def test_the_assistant_may_speak_first() -> None:
    found = prompt(STRICT, [Message("assistant", "Bom dia!"), *HELLO])
    assert found.text == "[user: ][assistant:Bom dia!][user:Olá]"
    assert found.warnings == ["empty turns were put between others: the model's template wants the roles to alternate"]


def test_an_answer_goes_on_in_a_merged_message() -> None:
    parts = [Message("assistant", "Bom "), Message("assistant", "dia ")]
    assert prompt(STRICT, [*HELLO, *parts]) == Prompt("[user:Olá][assistant:Bom \n\ndia ", [MERGED])


def test_nothing_is_folded_where_that_is_not_wanted() -> None:
    for chat in ([SYSTEM, *HELLO], [*HELLO, *HELLO]):
        with pytest.raises(TemplateRefused):
            prompt(STRICT, chat, care=False)
    assert prompt(DROPS, [SYSTEM, *HELLO], care=False) == Prompt("[user:Olá]", [])


def test_a_refusal_that_no_care_helps_against_has_the_first_words() -> None:
    source = "{% if messages | length > 1 %}{{ raise_exception('just %d' % messages | length) }}{% endif %}"
    with pytest.raises(TemplateRefused, match="just 3"):
        prompt(source, [*HELLO, Message("assistant", "A"), *HELLO])


# ---------------------------------------------------------------- thinking


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ enable_thinking }}|{{ thinking }}", ["|", "False|False", "True|True", "True|True", "True|True"]),
        ("{{ reasoning_effort }}", ["", "low", "low", "medium", "high"]),
        ("{{ reasoning_effort if reasoning_effort in ['none', 'high'] }}", ["", "none", "", "", "high"]),
        (
            "{% if reasoning_effort is defined and reasoning_effort not in ['low', 'high'] %}"
            "{{ raise_exception('no') }}{% endif %}{{ reasoning_effort }}",
            ["", "low", "low", "high", "high"],
        ),
        ("{% if reasoning_effort %}{{ raise_exception('no') }}{% endif %}", [""] * 5),
        ("{{ reasoning_effort | length }}", ["0", "4", "7", "6", "5"]),
        ("nothing", ["nothing"] * 5),
    ],
)
def test_an_effort_is_told_as_the_template_knows_it(source: str, said: list[str]) -> None:
    efforts = (None, "none", "minimal", "medium", "xhigh")
    assert [prompt(source, reasoning_effort=effort) for effort in efforts] == [Prompt(word, []) for word in said]


def test_reasoning_stands_under_every_name() -> None:
    names = "{{ m.reasoning_content }},{{ m.reasoning }},{{ m.thinking }}"
    source = f"{{% for m in messages %}}{{{{ m.content }}}}:{names};{{% endfor %}}"
    call = [ToolCall(CallFunction("f"), id="1")]
    chat = [
        Message("assistant", "a", reasoning="r"),
        Message("assistant", "b", reasoning_content="r", tool_calls=call),
        Message("tool", "c", tool_call_id="1"),
    ]
    assert prompt(source, chat[:1], continue_final_message=False).text == "a:r,r,r;"
    knows = source + "{% for m in messages %}{{ m.tool_calls | tojson if m.tool_calls }}{% endfor %}"
    # Those who look for ``thinking`` refuse it beside words and calls.
    assert prompt(knows, chat).text.startswith("a:r,r,r;b:r,r,;c:,,;")
    assert prompt("{{ 'thinking' in messages[0] }}{{ 'reasoning' in messages[0] }}", HELLO).text == "FalseFalse"


# ---------------------------------------------------------------- probes


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('always') }}",
        "{{ 1 / 0 }}",
        "{{ messages[99].content.x.y }}",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ tools.append(1) if tools }}{{ messages | tojson }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 10 ** 15 }}",
        "{% include 'x' %}",
        "{{ reasoning_effort.x.y }}",
        "{{ (tools or [{}])[0].function.name + 1 }}",
    ],
)
def test_a_template_that_breaks_every_probe_is_loaded_all_the_same(source: str) -> None:
    template = Template(source, {})
    for fields in ({}, {"tools": [TOOL]}, {"reasoning_effort": "high"}):
        with suppress(TemplateRefused):
            template.render(ChatRequest(messages=[SYSTEM, *ROUND], **fields), "note")


def test_a_template_may_change_lists_of_its_own_and_none_that_it_was_given() -> None:
    own = "{% set x = [] %}{{ x.append(2) or '' }}{{ x.append(3) or '' }}{{ x.pop(0) }}{{ x | length }}"
    assert prompt(own).text == prompt(own).text == "21"
    for what in ("tools", "tools[0].function.parameters.required", "messages", "messages[1].tool_calls"):
        tool = Tool(Function("f", "d", {"type": "object", "properties": {}, "required": ["a"]}))
        with pytest.raises(TemplateRefused, match="not allowed"):
            # Not while it is probed: then it would be taken to know no tools.
            bad = f"{{% if messages[0].content == 'Olá' %}}{{{{ {what}.append(1) }}}}{{% endif %}}"
            prompt(bad + LISTS + CALLS.replace("ARGUMENTS", "c.function.arguments | tojson"), ROUND, tools=[tool])
    with pytest.raises(TemplateRefused, match="not allowed"):
        prompt("{% set x = [] %}{{ x.clear() }}")
