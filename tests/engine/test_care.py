"""Messages made fit for a template: each care alone, on plain messages."""

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.engine import care
from tertulia.engine.care import CARES, Plain

PLACE = '{"place": "Évora"}'


def says(role: str, content: str | None, **more: Any) -> Plain:
    return {"role": role, "content": content, **more}


def call(name: str, ident: str | None = None, arguments: Any = PLACE) -> Plain:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*calls: Plain, content: str | None = "") -> Plain:
    return says("assistant", content, tool_calls=list(calls))


def result(content: str, ident: str | None = None) -> Plain:
    return says("tool", content, **({"tool_call_id": ident} if ident else {}))


def ids(messages: list[Plain]) -> list[str]:
    found: list[str] = []
    for message in messages:
        found += [call["id"] for call in message.get("tool_calls", ())]
        found += [message["tool_call_id"]] if message["role"] == "tool" else []
    return found


SYSTEM, USER, ANSWER = says("system", "S"), says("user", "U"), says("assistant", "A")

# ---------------------------------------------------------------- text of our own


def test_text_of_ours_is_added_to_the_system_message() -> None:
    assert care.add_text([SYSTEM, USER], "x", True)[0]["content"] == "S\n\nx"
    assert care.add_text([says("system", ""), USER], "x", True)[0]["content"] == "x"
    assert care.add_text([USER], "x", True) == [says("system", "x"), USER]
    assert care.add_text([USER], "x", False) == [says("user", "x\n\nU")]
    assert care.add_text([ANSWER, USER], "x", False) == [says("user", "x"), ANSWER, USER]
    assert care.add_text([USER], "", True) == [USER]


# ---------------------------------------------------------------- ids


def test_ids_that_fit_are_left_alone() -> None:
    chat = [USER, asks(call("f", "a"), call("g", "b")), result("1", "b"), result("2", "a")]
    assert care.number_calls(chat, nine=False) == chat
    fit = [USER, asks(call("f", "abcDEF123")), result("1", "abcDEF123")]
    assert care.number_calls(fit, nine=True) == fit


def test_ids_of_another_form_are_replaced_in_calls_and_results_alike() -> None:
    chat = [USER, asks(call("f", "call_1"), call("g", "call_2")), result("2", "call_2"), result("1", "call_1")]
    first, second, answer, other = ids(care.number_calls(chat, nine=True))
    assert (answer, other) == (second, first)
    assert first != second and all(re.fullmatch("[A-Za-z0-9]{9}", name) for name in (first, second))


def test_calls_without_ids_get_some_and_their_results_in_order() -> None:
    first, second, answer, other = ids(care.number_calls([asks(call("f"), call("g")), result("1"), result("2")], False))
    assert first != second and (answer, other) == (first, second)


def test_ids_are_the_same_in_a_longer_history() -> None:
    chat = [USER, asks(call("f", "call_1")), result("1", "call_1")]
    longer = [*chat, ANSWER, USER, asks(call("f", "call_1")), result("2", "call_1")]
    short, long = care.number_calls(chat, True), care.number_calls(longer, True)
    assert long[: len(short)] == short
    assert ids(long)[2] == ids(long)[3] != ids(long)[0]


def test_ids_that_all_calls_share_are_told_apart() -> None:
    first, second, answer, other = ids(
        care.number_calls([asks(call("f", "0"), call("g", "0")), *2 * [result("1", "0")]], False)
    )
    assert first != second
    assert answer == first and other in (first, second)


def test_a_result_that_names_no_call_belongs_to_the_one_that_has_none() -> None:
    first, second, answer, other = ids(
        care.number_calls([asks(call("f", "a"), call("g", "b")), result("1", "z"), result("2", "b")], False)
    )
    assert (answer, other) == (first, second) == ("a", "b")
    assert ids(care.number_calls([USER, result("1", "z")], False)) == ["z"]


# ---------------------------------------------------------------- calls


def test_arguments_are_spelt_both_ways() -> None:
    (as_object,) = care.spell_arguments([asks(call("f"))], as_text=False)
    assert as_object["tool_calls"][0]["function"]["arguments"] == {"place": "Évora"}
    (as_text,) = care.spell_arguments([as_object], as_text=True)
    assert as_text["tool_calls"][0]["function"]["arguments"] == PLACE


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("", {}),
        (" ", {}),
        (None, {}),
        ("{oops", "{oops"),
        ("[" * 100_000, "[" * 100_000),
        ("[1]", [1]),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_arguments_are_read_as_far_as_they_can_be(given: Any, known: Any) -> None:
    assert care.parse_arguments(given) == known


def test_arguments_that_are_no_object_are_put_into_one() -> None:
    chat = [asks(call("f", "1", "{oops"), call("f", "2", "[1]"), call("f", "3"))]
    found = [each["function"]["arguments"] for each in care.wrap_arguments(chat)[0]["tool_calls"]]
    assert found == [{"arguments": "{oops"}, {"arguments": [1]}, PLACE]


def test_calls_are_parted_from_what_is_said_beside_them() -> None:
    chat = [asks(call("f", "1"), content="Vou ver."), asks(call("g", "2"))]
    said, first, second = care.bare_calls(chat)
    assert said == says("assistant", "Vou ver.")
    assert (first["content"], second["content"]) == (None, None)


def test_several_calls_become_a_turn_each_with_its_result_behind_it() -> None:
    f, g, h = call("f", "1"), call("g", "2"), call("h", "3")
    chat = [USER, asks(f, g, h, content="Vou ver."), result("dois", "2"), result("um", "1"), result("?", "9"), USER]
    assert care.split_calls(chat) == [
        USER,
        asks(f, content="Vou ver."),
        result("um", "1"),
        asks(g),
        result("dois", "2"),
        asks(h),
        result("?", "9"),
        USER,
    ]
    apart = [asks(f, content=None), asks(g, content=None), result("um", "1"), result("dois", "2")]
    assert care.split_calls(apart) == [apart[0], apart[2], apart[1], apart[3]]
    assert care.split_calls([USER, ANSWER]) == [USER, ANSWER]


def test_calls_and_results_are_written_as_text() -> None:
    chat = [
        USER,
        asks(call("f", "1"), call("g", "2", "{oops"), content="Vou ver."),
        result("um", "1"),
        result("dois", "2"),
    ]
    assert care.write_calls([*chat, ANSWER]) == [
        USER,
        says(
            "assistant",
            'Vou ver.\n{"name": "f", "parameters": {"place": "Évora"}}\n{"name": "g", "parameters": "{oops"}',
        ),
        says("user", "f returned:\num\n\ng returned:\ndois"),
        ANSWER,
    ]
    assert care.write_calls(chat, results_too=False)[2:] == chat[2:]
    assert care.write_calls([result("um")]) == [says("user", "the function returned:\num")]
    assert care.write_calls([says("tool", "um", name="h")]) == [says("user", "h returned:\num")]


def test_tools_without_descriptions_get_empty_ones() -> None:
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}, "b": True}}},
    }
    function = care.describe(tool)["function"]
    assert function["description"] == "" and function["parameters"]["properties"]["a"]["description"] == ""
    told = {"type": "function", "function": {"name": "f", "description": "d", "parameters": True}}
    assert care.describe(told) == told


# ---------------------------------------------------------------- systems and roles


def test_system_messages_are_merged_at_the_head() -> None:
    later = says("system", "L")
    assert care.merge_systems([SYSTEM, USER, later, ANSWER]) == [says("system", "S\n\nL"), USER, ANSWER]
    assert care.merge_systems([USER, later]) == [later, USER]
    assert care.merge_systems([USER]) == [USER]


def test_a_system_message_is_folded_into_what_the_user_says() -> None:
    assert care.fold_system([SYSTEM, USER, ANSWER]) == [says("user", "S\n\nU"), ANSWER]
    assert care.fold_system([SYSTEM, ANSWER, USER]) == [says("user", "S"), ANSWER, USER]
    assert care.fold_system([SYSTEM]) == [says("user", "S")]
    assert care.fold_system([says("system", ""), USER]) == [USER]
    assert care.fold_system([says("system", ""), ANSWER]) == [ANSWER]
    assert care.fold_system([]) == []


def test_neighbours_of_one_role_are_merged_but_not_calls_and_results() -> None:
    assert care.merge_roles([USER, says("user", "V"), ANSWER, says("assistant", "")]) == [
        says("user", "U\n\nV"),
        ANSWER,
    ]
    calls = [ANSWER, asks(call("f", "1")), ANSWER, result("1", "1"), result("2", "2")]
    assert care.merge_roles(calls) == calls
    thought = [says("assistant", "A", reasoning_content="r"), says("assistant", "B", reasoning_content="s")]
    assert care.merge_roles(thought) == [says("assistant", "A\n\nB", reasoning_content="r\n\ns")]


def test_turns_are_filled_so_that_roles_alternate() -> None:
    blank, silent = says("user", " "), says("assistant", " ")
    assert care.fill_turns([SYSTEM, ANSWER, USER]) == [SYSTEM, blank, ANSWER, USER]
    chat = [USER, asks(call("f", "1")), result("um", "1")]
    assert care.fill_turns([*chat, USER]) == [*chat, silent, USER]
    assert care.fill_turns([*chat, ANSWER, USER]) == [*chat, ANSWER, USER]


# ---------------------------------------------------------------- all of them


def test_each_care_that_did_something_is_told() -> None:
    chat, warnings = care.arrange([SYSTEM, USER, says("user", "V"), SYSTEM], {"systems", "fold", "roles", "turns"})
    assert chat == [says("user", "S\n\nS\n\nU\n\nV")]
    assert [warning.partition(":")[0] for warning in warnings] == [
        "a later system message was merged into the first one",
        "the system message was folded into the first user message",
        "adjacent messages of equal roles were merged",
    ]
    assert care.arrange([USER], set(CARES)) == ([USER], [])


@st.composite
def chats(draw: st.DrawFn) -> list[Plain]:
    words = st.text(alphabet="aé ", max_size=3)
    names = st.sampled_from([None, "0", "call_1", "abcDEF123"])
    calls = st.lists(
        st.builds(call, st.sampled_from("fg"), names, st.sampled_from([PLACE, "{oops", ""])), min_size=1, max_size=3
    )
    plain = st.builds(says, st.sampled_from(["system", "user", "assistant"]), words)
    found = draw(
        st.lists(st.one_of(plain, calls.map(lambda each: asks(*each)), st.builds(result, words, names)), max_size=8)
    )
    return care.number_calls(found, draw(st.booleans()))


@given(chat=chats(), names=st.sets(st.sampled_from(sorted(CARES))))
def test_no_care_loses_a_word_or_changes_what_it_was_given(chat: list[Plain], names: set[str]) -> None:
    before = copy.deepcopy(chat)
    arranged, _ = care.arrange(chat, names)
    assert chat == before
    told = json.dumps(arranged)
    for message in chat:
        for word in (message["content"] or "").split():
            assert json.dumps(word)[1:-1] in told
    assert told.count("name") >= sum(len(message.get("tool_calls", ())) for message in chat)


@given(chat=chats())
def test_all_cares_together_leave_users_and_assistants_in_turns(chat: list[Plain]) -> None:
    arranged, _ = care.arrange(chat, set(CARES))
    roles = [message["role"] for message in arranged]
    assert all(role == ("user", "assistant")[index % 2] for index, role in enumerate(roles))


@given(chat=chats())
def test_calls_that_were_split_are_followed_by_their_results(chat: list[Plain]) -> None:
    arranged = care.split_calls(chat)
    assert all(len(message.get("tool_calls", "x")) == 1 for message in arranged)
    assert sorted(ids(arranged)) == sorted(ids(chat))
