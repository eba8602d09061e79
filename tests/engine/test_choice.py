"""From tokens to pieces of an answer: stop strings, log-probabilities, and why it ends."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tiny
from tertulia.engine.choice import Choice, Limits, Piece, Stops
from tertulia.engine.sampler import Params, Sampled
from tertulia.engine.scheduler import Sequence
from tertulia.engine.tokens import Tokens

LETTERS = "ab€"
short = st.text(LETTERS, max_size=24)
stops = st.lists(st.text(LETTERS, min_size=1, max_size=4), min_size=1, max_size=4)
cuts = st.lists(st.integers(0, 80), max_size=40) | st.just(list(range(80)))


def pieces(text: str, cuts: list[int]) -> list[bytes]:
    """The text's bytes in tokens that end anywhere, also within a character."""
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[begin:end] for begin, end in pairwise(places)]


def until(text: str, stops: list[str]) -> str:
    """The text up to where the first stop string to be complete begins; the longest, where several end at once."""
    for end in range(len(text) + 1):
        met = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if met:
            return text[: min(met)]
    return text


def choice(parts: list[bytes], **limits: Any) -> Choice:
    tokens: Any = SimpleNamespace(
        special=frozenset(), piece=parts.__getitem__, word=lambda token: parts[token].decode(errors="replace")
    )
    logprobs = limits.pop("logprobs", False)
    sequence = Sequence([0], Params(top=2 if logprobs else None))
    return Choice(0, sequence, Limits(**({"stop_ids": frozenset(), "stops": [], "most": 1000} | limits)), tokens)


def tell(fed: Choice, count: int) -> list[Piece]:
    """Feed tokens 0, 1, ... until the choice ends; what was told."""
    told: list[Piece] = []
    for token in range(count):
        told += fed.feed(Sampled(token, -float(token), [(token, -1.0)]))
        if told and told[-1].finish:
            break
    return told


@given(text=short, stops=stops, cuts=cuts)
def test_what_is_told_is_the_text_up_to_the_first_stop_string(text: str, stops: list[str], cuts: list[int]) -> None:
    parts = pieces(text, cuts)
    told = tell(choice(parts, stops=stops, most=max(len(parts), 1)), len(parts))
    said = "".join(piece.text for piece in told)
    expected = until(text, stops)
    assert said == expected
    assert not any(stop in said for stop in stops)
    if parts:
        assert [piece.finish for piece in told if piece.finish] == ["stop" if expected != text else "length"]


@given(text=short, stops=stops, cuts=cuts)
def test_no_more_is_held_back_than_could_be_a_stop_string(text: str, stops: list[str], cuts: list[int]) -> None:
    watch, fed, said = Stops(stops), "", ""
    for part in pieces(text, [cut * 3 for cut in cuts]):
        fed += (piece := part.decode(errors="ignore"))
        safe, met = watch.feed(piece)
        said += safe
        if met:
            break
        assert said + watch.held == fed
        assert not watch.held or any(stop.startswith(watch.held) for stop in stops)


@given(text=short.filter(bool), stops=stops, cuts=cuts)
@example(text="abbb", stops=["b€"], cuts=[1, 2, 3])
def test_log_probabilities_go_out_with_their_text(text: str, stops: list[str], cuts: list[int]) -> None:
    """Each told token once and in order; none whose text was cut off whole, none held back longer than its text."""
    parts = pieces(text, cuts)
    told = tell(choice(parts, stops=stops, most=len(parts), logprobs=True), len(parts))
    entries = [entry for piece in told for entry in piece.logprobs]
    assert [entry.logprob for entry in entries] == [-float(token) for token in range(len(entries))]
    reach, sent, said = 0, b"", ""
    for piece in told:
        said += piece.text
        for entry in piece.logprobs:
            begin = len(sent.decode(errors="ignore"))
            assert begin < len(said) or piece.finish == "length", "a log-probability before its text"
            sent += bytes(entry.bytes or [])
            reach += 1
        assert len(sent.decode(errors="replace")) >= len(said), "a text without its log-probability"
    if said == text:
        assert len(entries) == len(parts) or until(text, stops) != text
    assert b"".join(parts[:reach]) == sent


def test_each_log_probability_names_its_rivals() -> None:
    (told,) = tell(choice([b"a", b"b"], most=1, logprobs=True), 2)
    (entry,) = told.logprobs
    assert (entry.token, entry.bytes, entry.logprob) == ("a", [97], 0.0)
    assert [(rival.token, rival.logprob) for rival in entry.top_logprobs] == [("a", -1.0)]


def test_a_token_that_cannot_be_has_a_log_probability_that_json_can_write() -> None:
    fed = choice([b"a"], most=1, logprobs=True)
    (piece,) = fed.feed(Sampled(0, float("-inf"), [(0, float("-inf"))]))
    assert piece.logprobs[0].logprob == piece.logprobs[0].top_logprobs[0].logprob == -9999.0


def test_without_being_asked_no_log_probability_is_told() -> None:
    assert all(not piece.logprobs for piece in tell(choice([b"a", b"b"], most=2), 2))


def test_a_stop_token_ends_the_answer_unseen_and_what_was_held_goes_out() -> None:
    told = tell(choice([b"a", b"b", b"c"], stop_ids=frozenset({2}), stops=["bX"]), 3)
    assert [(piece.text, piece.finish) for piece in told] == [("a", None), ("b", "stop")]


def test_at_the_last_token_what_was_held_goes_out() -> None:
    told = tell(choice([b"a", b"b"], stops=["bX"], most=2, logprobs=True), 2)
    assert [(piece.text, piece.finish, len(piece.logprobs)) for piece in told] == [("a", None, 1), ("b", "length", 1)]


def test_half_a_character_at_the_end_is_not_told() -> None:
    told = tell(choice([b"a", "é".encode()[:1]], most=2), 2)
    assert [(piece.text, piece.finish) for piece in told] == [("a", None), ("", "length")]


def test_a_stop_string_at_the_last_token_is_a_stop() -> None:
    told = tell(choice([b"a", b"b"], stops=["b"], most=2), 2)
    assert [(piece.text, piece.finish) for piece in told] == [("a", None), ("", "stop")]


def test_a_stop_string_may_be_the_very_first_text() -> None:
    assert [(piece.text, piece.finish) for piece in tell(choice([b"ab"], stops=["a"]), 1)] == [("", "stop")]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_an_answer_has_no_more_tokens_than_allowed(most: int) -> None:
    fed = choice([b"a"] * 9, most=most)
    told = tell(fed, 9)
    assert "".join(piece.text for piece in told) == "a" * most
    assert told[-1].finish == "length"
    assert fed.sequence.history.length == most


def test_special_tokens_are_not_told_but_their_log_probabilities_are() -> None:
    tokens = Tokens(tiny.tokenizer())
    sequence = Sequence([0], Params(top=0))
    fed = Choice(3, sequence, Limits(frozenset(), [], 3), tokens)
    (the,) = tokens.encode("the")
    assert fed.feed(Sampled(tiny.IM_START)) == []
    (second,) = fed.feed(Sampled(the))
    assert (second.choice, second.text) == (3, "the")
    assert [entry.token for entry in second.logprobs] == ["<|im_start|>", "the"]
