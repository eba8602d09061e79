"""What holds of an answer that was cleaned, out of any mess."""

from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cleaning import OURS, clean, sent, whole
from tertulia.fold import fold
from tertulia.wires import openai
from upstream import chunk, delta, event, finish, text, tokens, usage

words = st.text(st.characters(codec="utf-8"), max_size=6)
number = st.integers(0, 2)
call = st.builds(
    lambda index, name, arguments, identity: {
        key: value
        for key, value in {"index": index, "id": identity, "function": {"name": name, "arguments": arguments}}.items()
        if value is not ...
    },
    st.one_of(st.just(...), number),
    st.sampled_from([None, "f", "g"]),
    st.sampled_from(["", "{", "}", "{}", {"a": 1}, None]),
    st.sampled_from([..., None, "", "x", "y"]),
)
piece = st.one_of(
    st.builds(lambda said, role: {**role, "content": said}, words, st.sampled_from([{}, {"role": "assistant"}])),
    st.builds(lambda said: {"reasoning": said, "content": None}, words),
    st.builds(lambda said: {"reasoning_content": said}, words),
    st.builds(lambda made: {"tool_calls": made, "content": None}, st.lists(call, max_size=2)),
    st.just({}),
)
fields = st.sampled_from([{}, {"system_fingerprint": None}, {"id": ""}, {"usage": None}, {"usage": tokens()}, {"x": 1}])
messy = st.one_of(
    st.builds(lambda given, index, more: delta(given, index=index, **more), piece, st.integers(0, 1), fields),
    st.sampled_from([event(b"garbage"), b": ping\n\n", chunk(), usage(), b"\n", b"event: x\nid: 1\n\n"]),
)
FRAMES = (
    lambda data: data,
    lambda data: data.replace(b"\n", b"\r\n"),
    lambda data: data.replace(b"data: ", b"data:"),
)


def framed(events: list[bytes], frame: Callable[[bytes], bytes], reason: str) -> bytes:
    return frame(b"".join([text("a"), *events, text("b", index=1), finish(reason), finish(index=1)]))


reasons = st.sampled_from(["stop", "length", "eos", "tool_use"])
stream = st.builds(framed, st.lists(messy, max_size=8), st.sampled_from(FRAMES), reasons)


@given(stream, st.lists(st.integers(0, 3000), max_size=12))
def test_where_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]):
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    assert clean(*[data[a:b] for a, b in pairwise(places)]) == clean(data)


@given(stream)
def test_what_is_clean_stays_as_it_is(data: bytes):
    once = sent(clean(data))
    assert sent(clean(*map(event, once))) == once


@given(stream)
def test_the_whole_of_a_clean_stream_folds_to_the_same(data: bytes):
    answer = fold(clean(data))
    assert whole(openai.write_completion(answer)) == answer


@given(stream)
def test_what_comes_out_is_openais_shape(data: bytes):
    begun: set[int] = set()
    known: dict[int, int] = {}
    *chunks, last = sent(clean(data))
    assert last["choices"] == [] and last["usage"]["total_tokens"] >= 0
    for one in chunks:
        assert one["usage"] is None and one["id"] and one["model"] == OURS and one["system_fingerprint"]
        for choice in one["choices"]:
            index, said = choice["index"], choice["delta"]
            assert ("role" in said) == (index not in begun)
            begun.add(index)
            assert isinstance(said.get("content"), str) or said["tool_calls"]
            assert said.get("reasoning") == said.get("reasoning_content")
            for made in said.get("tool_calls") or ():
                assert ("id" in made) == ("name" in made["function"]) == (made["index"] == known.get(index, 0))
                known[index] = max(known.get(index, 0), made["index"] + 1)
