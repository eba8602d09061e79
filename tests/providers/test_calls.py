"""Tool calls come out in order and in OpenAI's shape, however a provider streams them."""

from typing import Any

import pytest

from cleaning import clean, deltas
from tertulia.fold import fold
from upstream import MODEL, delta, finish, text

TWO = [("a", "f", "{}"), ("b", "g", "{}")]


def calls(*given: Any, reason: str = "tool_calls") -> list[Any]:
    """The calls of a stream of these ``tool_calls``, as they fold: (id, name, arguments)."""
    answer = fold(clean(*[delta({"tool_calls": one}) for one in given], finish(reason)))
    assert answer.choices[0].finish_reason == "tool_calls"
    return [
        (call.id, call.function.name, call.function.arguments) for call in answer.choices[0].message.tool_calls or ()
    ]


def function(name: Any = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments}}


def test_calls_of_the_exact_shape_keep_their_bytes():
    first = {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}
    events = [
        text("a", first=True),
        delta({"tool_calls": [first]}),
        delta({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        delta({"content": ""}, "tool_calls"),
    ]
    assert [one.raw for one in clean(*events, model=MODEL)[:-1]] == [event[6:-2] for event in events]


def test_id_type_and_name_stand_in_a_calls_first_delta_alone():
    pieces = [function("f", piece, index=0, id="x", type="function") for piece in ("", '{"a":', "1}")]
    pieces.append(function(None, "", index=0, id=None, type=None))
    told = [
        one["tool_calls"] for one in deltas(clean(*[delta({"tool_calls": [one]}) for one in pieces], finish()))[:-1]
    ]
    assert told == [
        [{"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}],
        *([{"index": 0, "function": {"arguments": piece}}] for piece in ('{"a":', "1}", "")),
    ]


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        # no index: each with a name begins a call
        ([[function("f", "{}", id="a"), function("g", "{}", id="b")]], TWO),
        ([[function("f", "{}", id="a")], [function("f", "{}", id="b")]], [("a", "f", "{}"), ("b", "f", "{}")]),
        # no index: what has no name goes on
        ([[function("f", "{", id="a")], [function(None, "}")]], [("a", "f", "{}")]),
        # no index and no id: the same name once more, after whole arguments, is another call
        ([[function("f", '{"a":1}')], [function("f", '{"a":2}')]], [("*", "f", '{"a":1}'), ("*", "f", '{"a":2}')]),
        # one index for all
        ([[function("f", "{}", index=0, id="a")], [function("g", "{}", index=0, id="b")]], TWO),
        ([[function("f", "{}", index=0)], [function("g", "{}", index=0)]], [("*", "f", "{}"), ("*", "g", "{}")]),
        # indexes with holes, from 1
        ([[function("f", "{}", index=1, id="a")], [function("g", "{}", index=3, id="b")]], TWO),
        # pieces of two calls by turns
        (
            [
                [function("f", "", index=0, id="a"), function("g", "", index=1, id="b")],
                [function(None, "{}", index=1)],
                [function(None, "[]", index=0)],
            ],
            [("a", "f", "[]"), ("b", "g", "{}")],
        ),
        # ids that are empty, missing, or there twice
        ([[function("f", "{}", index=0, id=""), function("g", "{}", index=1)]], [("*", "f", "{}"), ("*", "g", "{}")]),
        ([[function("f", "{}", index=0, id="a"), function("g", "{}", index=1, id="a")]], [TWO[0], ("*", "g", "{}")]),
        ([[function("f", "{}", index=0, id=7)]], [("7", "f", "{}")]),
        # arguments that are an object, null, or not there
        ([[function("f", {"a": [1]}, index=0, id="a")]], [("a", "f", '{"a":[1]}')]),
        ([[function("f", None, index=0, id="a")]], [("a", "f", "")]),
        ([[{"index": 0, "id": "a", "function": {"name": "f"}}]], [("a", "f", "")]),
        # the name comes after the first piece
        ([[function(None, "{", index=0, id="a")], [function("f", "}", index=0)]], [("a", "f", "{}")]),
        # no function around it; one call that is no list
        ([[{"index": 0, "id": "a", "name": "f", "arguments": "{}"}]], [("a", "f", "{}")]),
        ([function("f", "{}", index=0, id="a")], [("a", "f", "{}")]),
    ],
)  # fmt: skip
def test_calls_are_put_in_order(given: list[Any], ours: list[tuple[str, str, str]]):
    found = calls(*given)
    assert [call[1:] for call in found] == [call[1:] for call in ours]
    assert all(one in ("*", name) for (name, *_), (one, *_) in zip(found, ours, strict=True))
    assert len({name for name, *_ in found}) == len(found) and all(name for name, *_ in found)


def test_a_call_without_a_name_is_none():
    chunks = clean(text("a"), delta({"tool_calls": [function(None, "{}", index=0, id="x")]}), finish())
    answer = fold(chunks).choices[0]
    assert (answer.message.content, bool(answer.message.tool_calls), answer.finish_reason) == ("a", False, "stop")


def test_openais_first_way_to_call_is_told_in_the_second():
    pieces = [{"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}]
    answer = fold(clean(*[delta({"content": None} | piece) for piece in pieces], finish("function_call"))).choices[0]
    assert [(call.function.name, call.function.arguments) for call in answer.message.tool_calls or ()] == [("f", "{}")]
    assert answer.finish_reason == "tool_calls"


def test_each_choice_has_calls_of_its_own():
    events = [delta({"tool_calls": [function("f", "{}", index=0)]}, index=index) for index in (0, 1)]
    answer = fold(clean(*events, finish(), finish(index=1)))
    ids = [call.id for choice in answer.choices for call in choice.message.tool_calls or ()]
    assert len(set(ids)) == 2
