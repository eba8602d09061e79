"""Chat templates: the helpers that they expect, what a message looks like to them, and what they may not do."""

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.engine.ask import PLAIN_TEMPLATE
from tertulia.engine.template import Template
from tertulia.errors import BadRequest, StoreError, TemplateRefused
from tertulia.types import (
    CallFunction,
    ChatRequest,
    Image,
    ImageUrl,
    Message,
    Text,
    ToolCall,
)

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELLO = [Message(role="user", content="Olá")]


def render(source: str, messages: list[Message] | None = None, **fields: Any) -> str:
    special = fields.pop("special", {})
    return Template(source, special).render(ChatRequest(messages=messages or HELLO, **fields)).text


def seen(messages: list[Message]) -> list[dict[str, Any]]:
    """The messages as a template sees them that shows all it is given."""
    return json.loads(render("{{ messages | tojson }}", messages, continue_final_message=False))


# ---------------------------------------------------------------- helpers


def test_a_template_that_refuses_is_a_400_with_its_own_words() -> None:
    with pytest.raises(TemplateRefused, match="roles must alternate") as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert caught.value.status == 400
    assert caught.value.param == "messages"


def test_the_day_is_told_in_the_form_asked_for() -> None:
    assert render("{{ strftime_now('%Y-%m-%d') }}") == datetime.datetime.now().strftime("%Y-%m-%d")


def test_json_is_written_as_models_learnt_it() -> None:
    value = {"value": {"b": "<é & 'x'>", "a": [1, None, True]}}
    assert render("{{ value | tojson }}", chat_template_kwargs=value) == json.dumps(value["value"], ensure_ascii=False)
    assert render("{{ value | tojson(indent=4) }}", chat_template_kwargs=value) == json.dumps(
        value["value"], ensure_ascii=False, indent=4
    )
    assert render("{{ value | tojson(ensure_ascii=True) }}", chat_template_kwargs=value) == json.dumps(value["value"])
    dense = render("{{ value | tojson(separators=(',', ':'), sort_keys=True) }}", chat_template_kwargs=value)
    assert dense == json.dumps(value["value"], ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def test_loops_can_be_left_and_taken_up_again() -> None:
    ends = "{% if n == 2 %}{% continue %}{% endif %}{% if n == 5 %}{% break %}{% endif %}"
    assert render("{% for n in range(9) %}" + ends + "{{ n }}{% endfor %}") == "0134"


def test_the_generation_tag_changes_nothing() -> None:
    assert render("a{% generation %}{{ messages[0].content }}{% endgeneration %}b") == "aOláb"


def test_lines_of_blocks_leave_no_white_space() -> None:
    assert render("{% if true %}\n  {% set x = 1 %}\nx\n{% endif %}\n") == "x\n"


def test_special_tokens_have_their_names() -> None:
    assert render("{{ bos_token }}|{{ eos_token }}", special={"bos_token": "<s>", "eos_token": "</s>"}) == "<s>|</s>"


def test_a_template_that_cannot_be_read_is_told_when_the_model_is_loaded() -> None:
    for source in ("{% for %}", "{{ messages | nofilter }}"):
        with pytest.raises(StoreError, match="template"):
            Template(source, {})


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[9].content }}",
        "{{ nothing.at.all }}",
        "{{ 1 / 0 }}",
        "{{ messages + 1 }}",
        "{{ undefined_call() }}",
    ],
)
def test_a_template_that_fails_is_a_400(source: str) -> None:
    with pytest.raises(TemplateRefused):
        render(source)


# ---------------------------------------------------------------- messages


def test_text_parts_are_joined_and_null_is_empty() -> None:
    parts: list[Any] = [Text("a"), Text("b "), Text("c")]
    messages = [Message(role="user", content=parts), Message(role="assistant"), Message(role="user", content="")]
    assert [message["content"] for message in seen(messages)] == ["ab c", "", ""]


def test_a_developer_is_the_system() -> None:
    assert seen([Message(role="developer", content="x")])[0]["role"] == "system"


def test_calls_carry_their_arguments_as_an_object() -> None:
    ways = [
        CallFunction("f", arguments='{"a": 1}'),
        CallFunction("f", arguments={"a": 1}),
        CallFunction("f", parameters={"a": 1}),
    ]
    for way in ways:
        message = Message(role="assistant", tool_calls=[ToolCall(way, id="call_1")])
        (found,) = seen([message, Message(role="tool", content="2", tool_call_id="call_1")])[0]["tool_calls"]
        assert found == {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


def test_arguments_that_are_no_json_stay_as_they_are() -> None:
    message = Message(role="assistant", tool_calls=[ToolCall(CallFunction("f", arguments="{oops"))])
    assert seen([message, *HELLO])[0]["tool_calls"][0]["function"]["arguments"] == "{oops"


def test_a_tool_says_which_call_it_answers_and_reasoning_is_kept() -> None:
    messages = [
        Message(role="assistant", content="x", reasoning="because"),
        Message(role="tool", content="2", tool_call_id="call_1", name="f"),
    ]
    found = seen(messages)
    assert found[0]["reasoning_content"] == "because"
    assert (found[1]["tool_call_id"], found[1]["name"]) == ("call_1", "f")


def test_an_image_is_refused_with_its_place() -> None:
    parts: list[Any] = [Text("what is this?"), Image(ImageUrl("data:image/png;base64,"))]
    with pytest.raises(BadRequest) as caught:
        render(CHATML, [*HELLO, Message(role="user", content=parts)])
    assert caught.value.param == "messages[1].content[1]"


def test_kwargs_reach_the_template() -> None:
    source = "{{ enable_thinking }}{{ tools is none }}{{ documents is none }}"
    assert render(source, chat_template_kwargs={"enable_thinking": False}) == "FalseTrueTrue"


def test_the_prompt_for_an_answer_can_be_left_out() -> None:
    assert render(CHATML).endswith("<|im_start|>assistant\n")
    assert render(CHATML, add_generation_prompt=False).endswith("Olá<|im_end|>\n")


def test_a_model_without_a_template_still_gets_its_messages() -> None:
    assert render(PLAIN_TEMPLATE) == "user: Olá\nassistant:"


# ---------------------------------------------------------------- going on


def test_the_assistants_last_word_is_left_open() -> None:
    messages = [*HELLO, Message(role="assistant", content="Olá, ")]
    opened = "<|im_start|>user\nOlá<|im_end|>\n<|im_start|>assistant\nOlá, "
    assert render(CHATML, messages) == opened
    assert render(CHATML, messages, continue_final_message=True) == opened
    closed = opened + "<|im_end|>\n"
    assert render(CHATML, messages, continue_final_message=False) == closed + "<|im_start|>assistant\n"
    assert render(CHATML, messages, add_generation_prompt=True) == closed + "<|im_start|>assistant\n"


@given(text=st.text(max_size=30), trims=st.booleans())
def test_an_answer_goes_on_exactly_where_it_stopped(text: str, trims: bool) -> None:
    """White space at its end included, even where the template trims."""
    source = CHATML.replace("message['content']", "message['content'] | trim") if trims else CHATML
    found = render(source, [*HELLO, Message(role="assistant", content=text)], continue_final_message=True)
    assert found.endswith("<|im_start|>assistant\n" + (text.lstrip() if trims else text))


def test_parts_of_an_answer_go_on_too() -> None:
    parts: list[Any] = [Text("a"), Text("b ")]
    assert render(CHATML, [*HELLO, Message(role="assistant", content=parts)]).endswith("assistant\nab ")


def test_what_cannot_go_on_is_refused() -> None:
    call = ToolCall(CallFunction("f", arguments="{}"))
    for messages, fields in (
        (HELLO, {}),
        ([*HELLO, Message(role="assistant", tool_calls=[call])], {}),
        ([*HELLO, Message(role="assistant", content="a")], {"add_generation_prompt": True}),
    ):
        with pytest.raises(BadRequest) as caught:
            render(CHATML, messages, continue_final_message=True, **fields)
        assert caught.value.param == "continue_final_message"


def test_a_template_that_drops_the_last_message_cannot_go_on() -> None:
    with pytest.raises(TemplateRefused, match="drops"):
        render("{{ messages[0].content }}", [*HELLO, Message(role="assistant", content="a")])


def test_a_call_in_the_last_message_is_not_gone_on_with() -> None:
    call = ToolCall(CallFunction("f", arguments="{}"))
    found = render(CHATML, [*HELLO, Message(role="assistant", tool_calls=[call])])
    assert found.endswith("<|im_end|>\n<|im_start|>assistant\n")


# ---------------------------------------------------------------- the sandbox


@pytest.mark.parametrize(
    "source",
    [
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ '{0.__class__.__base__}'.format(messages) }}",
        "{{ ''|attr('__class__')|attr('__mro__') }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ messages.clear() }}",
        "{{ (messages|map(attribute='__class__')|list)[0].__mro__ }}",
    ],
)
def test_a_template_cannot_get_out_of_its_sandbox(source: str) -> None:
    try:
        text = render(source)
    except TemplateRefused:
        return
    assert text == "", "the sandbox may show what is forbidden as nothing, and as nothing else"


def test_a_template_cannot_loop_for_ever() -> None:
    with pytest.raises(TemplateRefused, match=r"(?i)range"):
        render("{% for n in range(10 ** 9) %}{% endfor %}")


def test_a_template_that_recurs_for_ever_is_refused() -> None:
    with pytest.raises(TemplateRefused):
        render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")


def test_a_template_cannot_read_files() -> None:
    with pytest.raises(TemplateRefused):
        render("{% include '/etc/passwd' %}")


# ---------------------------------------------------------------- limits


def test_arguments_that_are_nested_too_deeply_are_passed_on_as_text() -> None:
    call = ToolCall(CallFunction("f", arguments="[" * 100_000))
    messages = [Message("user", "x"), Message("assistant", tool_calls=[call]), Message("tool", "y")]
    source = "{{ messages[1].tool_calls[0].function.arguments | length }}"
    assert Template(source, {}).render(ChatRequest(messages=messages)).text == "100000"
