"""Whatever a provider sends, what comes out is OpenAI's exact shape, and as it was where it had that already."""

import json
import time
from typing import Any

import pytest

from cleaning import OURS, clean, deltas, sent, whole
from tertulia.errors import Upstream
from tertulia.fold import fold
from tertulia.providers.clean import Cleaner
from tertulia.types import Image, ImageUrl, Message, Text
from tertulia.wires import openai
from upstream import MODEL, chunk, completion, delta, event, finish, text, tokens, usage

EMPTY: tuple[dict[str, Any], ...] = (
    {}, {"content": None}, {"content": ""}, {"role": None}, {"content": "", "tool_calls": []},
)  # fmt: skip


# ---------------------------------------------------------------- what is right already


def test_what_has_the_exact_shape_keeps_its_bytes():
    events = [text("a", first=True), text("b"), delta({"content": ""}, "stop"), usage()]
    assert [one.raw for one in clean(*events, model=MODEL)] == [event[6:-2] for event in events]
    assert [one.raw for one in clean(*events, model="")] == [event[6:-2] for event in events]


def test_fields_that_nobody_knows_go_through_with_the_bytes():
    raw = clean(text("a", first=True, x_vendor={"took": 3}), finish())[0].raw
    assert isinstance(raw, bytes) and json.loads(raw)["x_vendor"] == {"took": 3}


@pytest.mark.parametrize("colon", [":", ": "])
def test_another_name_for_the_model_is_put_in_the_bytes(colon: str):
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "theirs", "system_fingerprint": "f"}
    events = [
        head | {"choices": [{"index": 0, "delta": said, "finish_reason": None}], "extra": "kept"}
        for said in ({"role": "assistant", "content": 'the "model":"theirs" of'}, {"content": "all"})
    ]
    data = [event(json.dumps(one, separators=(",", colon)).encode()) for one in events]
    first, second, *_ = clean(*data)
    for one, told in ((first, events[0]), (second, events[1])):
        assert isinstance(one.raw, bytes) and json.loads(one.raw) == told | {"model": OURS}
        assert one.model == OURS


@pytest.mark.parametrize("fingerprint", [{}, {"system_fingerprint": None}])
def test_a_fingerprint_that_is_missing_is_put_in_the_bytes(fingerprint: dict[str, None]):
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": OURS, **fingerprint}
    given = [{"role": "assistant", "content": "a"}, {"content": "b"}]
    data = [event(head | {"choices": [{"index": 0, "delta": one, "finish_reason": None}]}) for one in given]
    for one in clean(*data)[:2]:
        assert isinstance(one.raw, bytes)
        assert json.loads(one.raw)["system_fingerprint"] == one.system_fingerprint == "fp_prov"
        assert one.raw.count(b"system_fingerprint") == 1


def test_the_bytes_and_the_words_of_a_chunk_say_the_same():
    for one in clean(text("a", first=True, index=0), text("ü"), text("\n"), finish(), usage()):
        assert isinstance(one.raw, bytes) == (one.choices == [] or one.choices[0].finish_reason is None)
        data = openai.write_chunk(one, include_usage=True)
        assert openai.read_chunk(data).choices == one.choices


# ---------------------------------------------------------------- heads


def test_one_id_one_model_and_one_fingerprint_stand_on_every_chunk():
    events = [
        event({"choices": [{"index": 0, "delta": {"content": "a"}}]}),
        event({"id": "", "created": 5, "model": "x", "choices": [{"index": 0, "delta": {"content": "b"}}]}),
        text("c"),
        finish(),
    ]
    chunks = sent(clean(*events))
    assert {(one["id"], one["model"], one["system_fingerprint"]) for one in chunks} == {
        ("chatcmpl-fresh", OURS, "fp_prov")
    }
    assert all(one["created"] > 0 and one["object"] == "chat.completion.chunk" for one in chunks)


def test_an_id_of_its_own_is_never_empty():
    made = [Cleaner("prov", "m") for _ in range(2)]
    ids = [one.read(event({"choices": [{"delta": {"content": "a"}}]})[6:-2])[0].id for one in made]
    assert all(ids) and ids[0] != ids[1]


# ---------------------------------------------------------------- deltas


def test_the_role_stands_in_a_choices_first_delta_alone():
    every = [delta({"role": "assistant", "content": word}, index=index) for word in "ab" for index in (0, 1)]
    assert deltas(clean(*every, finish(), finish(index=1)))[:4] == [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "a"},
        {"content": "b"},
        {"content": "b"},
    ]
    assert deltas(clean(text("a"), finish()))[0]["role"] == "assistant"


@pytest.mark.parametrize(
    "empty", [{}, {"content": None}, {"content": ""}, {"role": None}, {"content": "", "tool_calls": []}]
)
def test_every_text_delta_has_a_string_for_content(empty: dict[str, Any]):
    chunks = clean(delta(empty), text("a"), delta(empty), delta(empty, "stop"))
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": ""}, {"content": ""}]


def test_content_does_not_stand_beside_calls_unless_it_is_text():
    call = [{"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    for content in (None, ""):
        assert "content" not in deltas(clean(delta({"content": content, "tool_calls": call}), finish()))[0]
    assert deltas(clean(delta({"content": "a", "tool_calls": call}), finish()))[0]["content"] == "a"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "thinking"])
def test_thoughts_go_by_both_names(name: str):
    head = {"id": "c", "created": 1, "model": "m"}
    given = {name: "hm"} | ({"content": []} if name == "thinking" else {})
    events = [event(head | {"choices": [{"index": 0, "delta": given}]}), text("a"), finish()]
    first = deltas(clean(*events))[0]
    assert first == {"role": "assistant", "content": "", "reasoning": "hm", "reasoning_content": "hm"}
    message = {name: "hm"} | ({"content": ["x"]} if name == "thinking" else {})
    answer = whole(completion("a", message=message)).choices[0].message
    assert (answer.reasoning, answer.reasoning_content) == ("hm", "hm")


def test_thoughts_that_are_null_or_empty_are_none():
    chunks = clean(delta({"content": "a", "reasoning": None}), delta({"content": "b", "reasoning": ""}), finish())
    assert fold(chunks).choices[0].message == fold(clean(text("ab"), finish())).choices[0].message


def test_content_in_parts_is_put_together_and_its_thoughts_apart():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]
    message = fold(clean(delta({"content": parts}), finish())).choices[0].message
    assert (message.content, message.reasoning) == ("a", "hm")


def test_a_choice_without_index_delta_or_object_is_understood():
    head: dict[str, Any] = {"id": "c", "created": "12", "object": "text_completion"}
    events = [
        head | {"choices": [{"text": "a"}]},
        head | {"choices": [{"message": {"content": "b"}, "finish_reason": "eos"}]},
    ]
    chunks = clean(*map(event, events))
    assert fold(chunks).choices[0].message.content == "ab"
    assert {one["object"] for one in sent(chunks)} == {"chat.completion.chunk"}


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("stop", "stop"), ("eos", "stop"), ("eos_token", "stop"), ("end_turn", "stop"), ("stop_sequence", "stop"),
        ("whatever", "stop"), ("STOP", "stop"), ("length", "length"), ("max_tokens", "length"),
        ("MAX_TOKENS", "length"), ("model_length", "length"), ("tool_use", "tool_calls"),
        ("function_call", "tool_calls"), ("content_filter", "content_filter"),
    ],
)  # fmt: skip
def test_reasons_to_end_are_openais(given: str, ours: str):
    assert fold(clean(text("a"), finish(given))).choices[0].finish_reason == ours
    assert whole(completion(reason=given)).choices[0].finish_reason == ours


def test_an_answer_that_calls_ends_for_its_calls():
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}
    assert fold(clean(delta({"tool_calls": [call]}), finish("stop"))).choices[0].finish_reason == "tool_calls"


def test_a_second_reason_to_end_is_not_told():
    chunks = clean(text("a"), finish(), finish("length"), delta({}, "stop", usage=tokens()))
    assert [choice.finish_reason for one in chunks for choice in one.choices] == [None, "stop"]
    assert chunks[-1].usage and chunks[-1].usage.total_tokens == 5


def test_a_stream_without_the_mark_of_its_end_is_whole_if_it_gave_a_reason():
    assert fold(clean(text("a"), finish(), done=False)).choices[0].message.content == "a"


def test_a_stream_that_gave_no_reason_is_cut_unless_it_said_it_was_done():
    with pytest.raises(Upstream, match="before its answer was whole"):
        clean(text("a"), done=False)
    with pytest.raises(Upstream, match="before its answer was whole"):
        clean(text("a"), text("b", index=1), finish(), done=False)
    assert fold(clean(text("a"), done=True)).choices[0].finish_reason == "stop"


def test_a_stream_in_which_nothing_came_is_cut():
    for done in (True, False):
        with pytest.raises(Upstream, match="before its answer began"):
            clean(done=done)


# ---------------------------------------------------------------- usage


def test_usage_stands_in_a_last_chunk_of_its_own():
    ways = [
        [text("a"), finish(), usage()],
        [text("a"), finish(usage=tokens())],
        [text("a", usage=tokens(3, 1)), finish(usage=tokens())],
        [usage(1, 1), text("a"), finish(), usage()],
        [text("a"), finish(), delta({}, None, usage=tokens())],
    ]
    for events in ways:
        chunks = sent(clean(*events))
        assert [bool(one["usage"]) for one in chunks] == [False] * (len(chunks) - 1) + [True]
        assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], tokens())


def test_no_usage_is_estimated_and_marked():
    last = sent(clean(text("abcde"), finish()))[-1]
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4, "estimated": True}
    parts = [Text("abcd"), Image(ImageUrl("data:x"))]
    one = Cleaner("prov", messages=[Message(role="user", content=list(parts)), Message(role="assistant")])
    one.read(text("a")[6:-2])
    told = one.end(done=True)[-1].usage
    assert told and (told.prompt_tokens, told.completion_tokens) == (1, 1)


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": None}, (3, 2, 5, False)),
        ({"prompt_tokens": None, "completion_tokens": 2, "total_tokens": 5}, (3, 2, 5, False)),
        ({"prompt_tokens": 3, "completion_tokens": None, "total_tokens": 5}, (3, 2, 5, False)),
        ({"input_tokens": 3, "output_tokens": 2}, (3, 2, 5, False)),
        ({"prompt_tokens": 3.0, "completion_tokens": "2", "total_tokens": 5}, (3, 2, 5, False)),
        ({"prompt_tokens": 3, "completion_tokens": None}, (3, 1, 4, True)),
        ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, (2, 1, 3, True)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (2, 1, 3, True)),
        ({}, (2, 1, 3, True)),
        ("none", (2, 1, 3, True)),
    ],
)
def test_usage_with_holes_is_repaired(given: Any, ours: tuple[Any, ...]):
    for last in (clean(text("a"), finish(usage=given))[-1].usage, whole(completion("a", usage=given)).usage):
        assert last
        assert (last.prompt_tokens, last.completion_tokens, last.total_tokens, last.estimated) == ours


@pytest.mark.parametrize("cost", [-0.5, -1, 10**400, 1e300, True, "1", None])
def test_a_cost_that_can_not_be_is_not_told(cost: Any):
    given = tokens() | {"cost": cost}
    for events in ([text("a"), finish(), chunk(usage=given)], [text("a"), finish(usage=given)]):
        last = clean(*events)[-1]
        assert last.usage and last.usage.cost is None and last.usage.total_tokens == 5
        assert json.loads(openai.write_chunk(last, include_usage=True))["usage"].get("cost") is None
    assert whole(completion("a", usage=given)).usage.cost is None


@pytest.mark.parametrize("cost", [0, 0.25, 3])
def test_a_cost_that_is_told_goes_on(cost: float):
    given = tokens() | {"cost": cost}
    assert sent(clean(text("a"), finish(), chunk(usage=given)))[-1]["usage"]["cost"] == cost
    assert whole(completion("a", usage=given)).usage.cost == cost


@pytest.mark.parametrize("number", [-5, 10**30])
def test_numbers_of_tokens_that_can_not_be_are_estimated(number: int):
    given = {"prompt_tokens": number, "completion_tokens": number, "total_tokens": number}
    for last in (clean(text("a"), finish(), chunk(usage=given))[-1].usage, whole(completion("a", usage=given)).usage):
        assert last
        assert (last.prompt_tokens, last.completion_tokens, last.total_tokens, last.estimated) == (2, 1, 3, True)


# ---------------------------------------------------------------- more choices than were asked for


@pytest.mark.parametrize(("n", "most"), [(None, 128), (3, 3)])
def test_choices_beyond_those_asked_for_are_left_out(n: int | None, most: int):
    one = Cleaner("prov", OURS, n=n)
    chunks = [made for index in range(most + 50) for made in one.read(text("a", index=index)[6:-2])]
    chunks += one.read(text("a", index=-1)[6:-2])
    assert [choice.index for made in chunks for choice in made.choices] == list(range(most))
    assert len(one.end(done=True)) == most + 1


def test_choices_without_end_cost_the_same_each():
    one = Cleaner("prov", OURS)
    events = [text("a", index=index)[6:-2] for index in range(20000)]
    for data in events[:1000]:
        one.read(data)
    began = time.process_time()
    for data in events[1000:]:
        one.read(data)
    assert time.process_time() - began < 2
    assert not one.finished


def test_it_is_finished_when_every_choice_is():
    one = Cleaner("prov", OURS, n=2)
    steps = [text("a"), text("b", index=1), finish(), finish(), finish(index=2), finish(index=1), finish(index=1)]
    told: list[bool] = []
    for data in steps:
        one.read(data[6:-2])
        told.append(one.finished)
    assert told == [False] * 5 + [True] * 2
    one.read(chunk()[6:-2])
    assert one.finished


def test_a_whole_answer_is_put_right_too():
    calls = [
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "", "function": {"name": "g", "arguments": "{}"}},
    ]
    answer = whole({"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "stop"}]})
    assert (answer.id, answer.model, answer.system_fingerprint, answer.created) == (
        "chatcmpl-fresh", OURS, "fp_prov", 1800000000,
    )  # fmt: skip
    assert answer.choices[0].finish_reason == "tool_calls"
    made = answer.choices[0].message.tool_calls or []
    assert [(call.function.name, call.function.arguments) for call in made] == [("f", '{"a":1}'), ("g", "{}")]
    assert len({call.id for call in made}) == 2
