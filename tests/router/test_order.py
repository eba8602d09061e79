"""Who could answer, and who is tried first: a function of request, candidates and health."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo import Echo
from tertulia.router.order import Candidate, State, Wish, lacks, length, needs, order, read_wish
from tertulia.types import ChatRequest, Function, Image, ImageUrl, Message, Text, Tool

BACKEND = Echo()
PROVIDERS = {"together": 1, "groq": 1}


def candidate(provider: str, **fields: Any) -> Candidate:
    return Candidate(provider=provider, model="m", id=f"{provider}/m", backend=BACKEND, **fields)


def asked(content: Any = "hello", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=content)], **fields)


@pytest.mark.parametrize(
    ("name", "wish"),
    [
        ("a/b", Wish("a/b")),
        ("a/b:together", Wish("a/b", provider="together")),
        ("a/b:local", Wish("a/b", provider="local")),
        ("a/b:fastest", Wish("a/b", policy="fastest")),
        ("a/b:cheapest", Wish("a/b", policy="cheapest")),
        ("a/b:preferred", Wish("a/b", policy="preferred")),
        ("a/b:Q8_0", Wish("a/b:Q8_0")),
        ("a/b:Q8_0:groq", Wish("a/b:Q8_0", provider="groq")),
        ("", Wish("")),
        (":together", Wish("", provider="together")),
    ],
)
def test_a_suffix_counts_only_if_it_is_known(name: str, wish: Wish) -> None:
    assert read_wish(name, PROVIDERS) == wish


names = st.sampled_from(["together", "groq", "novita", "local", "mine"])
candidates = st.lists(
    st.builds(
        lambda name, price, context: candidate(name, price=price, context=context),
        names,
        st.none() | st.tuples(st.floats(0, 9), st.floats(0, 9)),
        st.integers(0, 9000),
    ),
    max_size=8,
)
states = st.dictionaries(
    st.builds(lambda name: (name, f"{name}/m"), names),
    st.builds(State, st.booleans(), st.none() | st.floats(0.1, 500), st.none() | st.floats(0, 9)),
)
policies = st.sampled_from(["fastest", "cheapest", "preferred", "local"])


@given(candidates, states, policies, st.lists(names, unique=True))
def test_the_order_is_a_permutation_and_who_rests_is_last(
    given_: list[Candidate], health: dict[tuple[str, str], State], policy: str, preferred: list[str]
) -> None:
    ordered = order(given_, health, policy, preferred)
    assert sorted(map(id, ordered)) == sorted(map(id, given_))
    resting = [health.get(one.key, State()).resting for one in ordered]
    assert resting == sorted(resting)


def test_the_fastest_is_who_was_measured_to_be() -> None:
    one, two, three = candidate("together"), candidate("groq"), candidate("novita")
    health = {one.key: State(speed=20), two.key: State(speed=300)}
    assert order([one, two, three], health, "fastest") == [three, two, one]  # who was not measured is measured now


def test_the_cheapest_is_by_what_is_written_and_unknown_prices_come_last() -> None:
    one, two, three = candidate("together", price=(0.0, 9.0)), candidate("groq", price=(5.0, 1.0)), candidate("mine")
    assert order([three, one, two], {}, "cheapest") == [two, one, three]


def test_the_preferred_is_the_users_own_order_then_the_tables() -> None:
    one, two, three = candidate("together"), candidate("groq"), candidate("mine")
    assert order([one, two, three], {}, "preferred", ["mine", "groq"]) == [three, two, one]
    assert order([one, two, three], {}, "preferred") == [one, two, three]


TOOL = Tool(function=Function(name="f"))


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (asked(), ()),
        (asked([Text("x"), Image(ImageUrl("data:,"))]), ("image",)),
        (asked(tools=[TOOL]), ("tools",)),
        (asked(tools=[TOOL], tool_choice="none"), ()),
        (asked(tools=[TOOL], tool_choice="required"), ("tools", "tool_choice")),
        (asked(response_format={"type": "text"}), ()),
        (asked(response_format={"type": "json_object"}), ("json_object",)),
        (asked(response_format={"type": "json_object", "schema": {}}), ("response_format",)),
        (asked(logprobs=True, n=2, seed=1), ("n", "logprobs", "seed")),
        (asked(n=1, logprobs=False, tool_prompt="x"), ("tool_prompt",)),
    ],
)
def test_what_a_request_needs(request_: ChatRequest, fields: tuple[str, ...]) -> None:
    assert set(needs(request_)) == set(fields)


def test_a_field_that_nobody_knows_of_excludes_nobody() -> None:
    assert lacks(candidate("groq"), ("logprobs", "n"), 10) == []
    assert lacks(candidate("groq", fields={"logprobs": False, "n": True}), ("logprobs", "n"), 10) == ["logprobs"]
    assert lacks(candidate("groq", context=100), (), 101) == ["context"]
    assert lacks(candidate("groq", fields={"response_format": False}), ("json_object",), 1) == ["json_object"]
    assert lacks(candidate("groq", fields={"response_format": False, "json_object": True}), ("json_object",), 1) == []


def test_the_length_is_what_it_is_at_least() -> None:
    assert length(asked("x" * 500, max_tokens=7)) == 107
    assert length(asked([Text("x" * 50), Image(ImageUrl("data:,"))])) == 11
