"""What a provider is sent: the request, in the words that it knows."""

import json
from typing import Any

import pytest

from tertulia.errors import BadRequest, ConfigError, Unsupported
from tertulia.providers import quirks
from tertulia.providers.table import Row, shipped
from tertulia.wires import openai

ROW = Row(name="prov", base_url="https://prov")
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
TURN = {"role": "user", "content": "hi"}


def sent(row: Row = ROW, *, stream: bool = False, messages: Any = None, **fields: Any) -> dict[str, Any]:
    """What a provider is sent for a client's request of these ``fields``."""
    request = openai.read_request(json.dumps({"model": "m", "messages": messages or [TURN], **fields}).encode())
    before = openai.write_request(request)
    found = json.loads(openai.write_fields(quirks.prepare(request, row, stream=stream)))
    assert openai.write_request(request) == before  # the request is left as it was
    return found


def row(*names: str, **fields: Any) -> Row:
    return Row(name="prov", base_url="https://prov", quirks=names, **fields)


def test_a_plain_request_is_sent_as_it_is():
    assert sent(temperature=0.5, vendor={"a": 1}) == {
        "model": "m",
        "messages": [TURN],
        "temperature": 0.5,
        "vendor": {"a": 1},
        "stream": False,
    }


def test_a_stream_is_asked_for_its_usage_and_a_whole_answer_is_not():
    assert sent(stream=True, stream_options={"include_usage": False})["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(stream_options={"include_usage": True})
    assert "stream_options" not in sent(row("no_stream_options"), stream=True)


def test_what_is_said_to_us_is_said_to_nobody_else():
    assert not {"models", "continue"} & sent(**{"models": ["x"], "continue": True}).keys()


def test_a_list_of_biases_becomes_a_map():
    assert sent(logit_bias=[0, 1.5, None, -1])["logit_bias"] == {"1": 1.5, "3": -1}


def test_calls_of_earlier_turns_have_all_that_most_insist_on():
    call = {"id": "x", "function": {"name": "f", "parameters": {"a": 1}}}
    turns = [TURN, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "1", "tool_call_id": "x"}]
    said = sent(messages=turns)["messages"][1]
    assert said == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }


# ---------------------------------------------------------------- forms

SPELLINGS = [
    {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
    {"type": "json_schema", "schema": SCHEMA},
    {"type": "json_object", "schema": SCHEMA},
    {"type": "json_object", "value": SCHEMA},
    {"type": "json", "value": SCHEMA},
    {"type": "json_schema", "value": {"name": "n", "schema": SCHEMA}},
    {"type": "json", "value": json.dumps(SCHEMA)},
]


@pytest.mark.parametrize("asked", SPELLINGS)
def test_every_spelling_of_a_schema_is_said_in_the_rows_dialect(asked: dict[str, Any]):
    said = {name: sent(row(response_format=name), response_format=asked)["response_format"] for name in DIALECTS}
    assert said["json_object"] == {"type": "json_object", "schema": SCHEMA}
    assert said["flat"] == {"type": "json_schema", "schema": SCHEMA}
    assert said["value"] == {"type": "json_object", "value": SCHEMA}
    inner = said["openai"]["json_schema"]
    assert (said["openai"]["type"], inner["schema"], bool(inner["name"])) == ("json_schema", SCHEMA, True)
    assert inner.get("strict") == (True if asked == SPELLINGS[0] else None)


DIALECTS = ("openai", "json_object", "flat", "value")


def test_any_json_and_free_text_are_said_too():
    for name in DIALECTS:
        said = sent(row(response_format=name), response_format={"type": "json_object"})["response_format"]
        assert said["type"] == "json_object" and "schema" not in said
        assert "response_format" not in sent(row(response_format=name), response_format={"type": "text"})


def test_a_form_of_its_own_goes_through():
    own = {"type": "grammar", "grammar": "root ::= x"}
    assert sent(response_format=own)["response_format"] == own


def test_structured_outputs_are_for_vllm_alone():
    asked = {"choice": ["a", "b"]}
    assert sent(row("vllm"), structured_outputs=asked)["structured_outputs"] == asked
    said = sent(structured_outputs={"json": SCHEMA})
    assert said["response_format"]["json_schema"]["schema"] == SCHEMA and "structured_outputs" not in said
    with pytest.raises(Unsupported) as caught:
        sent(structured_outputs=asked)
    assert (caught.value.param, caught.value.retryable) == ("structured_outputs", True)


def test_a_pattern_is_for_those_who_have_a_word_for_it():
    asked = {"type": "regex", "value": "a+"}
    assert sent(row(response_format="value"), response_format=asked)["response_format"] == asked
    assert sent(row("vllm"), response_format=asked)["structured_outputs"] == {"regex": "a+"}
    for given in ({"response_format": asked}, {"structured_outputs": {"regex": "a+"}}):
        with pytest.raises(Unsupported):
            sent(**given)


def test_a_form_that_cant_be_understood_is_the_callers_to_mend():
    with pytest.raises(BadRequest):
        sent(response_format={"type": "json", "value": "{"})
    with pytest.raises(BadRequest):
        sent(response_format={"type": "json_object"}, structured_outputs={"json": SCHEMA})


# ---------------------------------------------------------------- quirks


@pytest.mark.parametrize(
    ("name", "given", "ours"),
    [
        ("max_tokens", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("max_tokens", {"max_tokens": 5}, {"max_tokens": 5}),
        ("max_completion_tokens", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("no_store", {"store": True, "metadata": {}}, {}),
        ("no_continue", {"continue_final_message": True, "add_generation_prompt": False}, {}),
        ("vllm", {"continue_final_message": True}, {"continue_final_message": True, "add_generation_prompt": False}),
        ("vllm", {"seed": 1}, {"seed": 1}),
        ("tgi", {"top_p": 1.0}, {}),
        ("tgi", {"top_p": 0.5}, {"top_p": 0.5}),
    ],
)
def test_fields_are_said_as_the_provider_wants_them(name: str, given: dict[str, Any], ours: dict[str, Any]):
    assert sent(row(name), **given) == {"model": "m", "messages": [TURN], "stream": False, **ours}


TEXTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
THOUGHT = {"role": "assistant", "content": "x", "reasoning": "y", "annotations": []}


@pytest.mark.parametrize(
    ("name", "given", "ours"),
    [
        ("no_developer", {"role": "developer", "content": "x"}, {"role": "system", "content": "x"}),
        ("plain_history", THOUGHT, {"role": "assistant", "content": "x"}),
        ("one_reasoning", {**TURN, "reasoning": "y", "reasoning_content": "y"}, {**TURN, "reasoning": "y"}),
        ("one_reasoning", {**TURN, "reasoning_content": "y"}, {**TURN, "reasoning": "y"}),
        ("plain_content", {"role": "user", "content": TEXTS}, {"role": "user", "content": "ab"}),
    ],
)
def test_messages_are_said_as_the_provider_wants_them(name: str, given: dict[str, Any], ours: dict[str, Any]):
    assert sent(row(name), messages=[given, TURN])["messages"] == [ours, TURN]


def test_images_stay_in_their_message():
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    assert sent(row("plain_content"), messages=[{"role": "user", "content": parts}])["messages"][0]["content"] == parts


def test_quirks_follow_one_another():
    assert sent(row("max_tokens", "max_completion_tokens"), max_tokens=5)["max_completion_tokens"] == 5


def test_a_quirk_or_dialect_that_there_isnt_is_told_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"\[providers.prov\]: quirks has no 'odd'; there are vllm, "):
        quirks.check(row("odd"))
    with pytest.raises(ConfigError, match="response_format has no 'odd'; there are openai, "):
        quirks.check(row(response_format="odd"))


def test_the_shipped_rows_name_quirks_and_dialects_that_there_are():
    for one in shipped().values():
        quirks.check(one)
