"""Server-sent events come out as they went in, however the bytes are cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia import sse
from tertulia.sse import DONE, PING, Feed, encode

line = st.binary(max_size=40).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))
stream = st.lists(
    st.one_of(
        line.map(lambda data: b"data: " + data + b"\n\n"),
        line.map(lambda data: b"data:" + data + b"\r\n\r\n"),
        st.lists(line, min_size=2, max_size=3).map(lambda rows: b"".join(b"data: " + r + b"\n" for r in rows) + b"\n"),
        line.map(lambda data: b": " + data + b"\n\n"),
        st.just(b"data\n\n"),
        st.just(b"\xef\xbb\xbf"),
        line.map(lambda data: b"event: x\nid: 1\ndata: " + data + b"\r\r"),
    ),
    max_size=8,
).map(b"".join)


def fed(pieces: list[bytes]) -> list[bytes]:
    feed = Feed()
    return [event for piece in pieces for event in feed.feed(piece)] + feed.close()


@given(stream, st.lists(st.integers(0, 400), max_size=12))
def test_where_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]):
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[a:b] for a, b in pairwise(places)]
    assert fed(pieces) == fed([data])


@given(st.lists(line.filter(bool), max_size=8))
def test_what_was_encoded_is_fed_back(events: list[bytes]):
    assert fed([b"".join(encode(event) + PING for event in events)]) == events


def test_byte_by_byte_a_crlf_ends_one_line_not_two():
    data = b"data: a\r\ndata: b\r\n\r\n"
    assert fed([data[i : i + 1] for i in range(len(data))]) == [b"a\nb"]


def test_comments_names_ids_and_lonely_blank_lines_are_passed_over():
    assert fed([b": hello\n\nevent: x\nid: 7\n\n\n\ndata: a\n\nretry: 5\n\n"]) == [b"a"]


def test_an_event_whose_blank_line_never_came_is_given_at_the_end():
    assert fed([b"data: a\n\ndata: b"]) == [b"a", b"b"]


def test_the_end_mark_is_spelt_exactly():
    assert DONE == b"data: [DONE]\n\n"


def test_an_event_that_never_ends_is_refused():
    feed = Feed(limit=100)
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        for _ in range(20):
            feed.feed(b"data: 0123456789\n")


def test_data_without_a_colon_is_an_empty_line():
    assert fed([b"data\n\ndata\ndata\n\ndatax: 1\n\n"]) == [b"", b"\n"]


def test_a_byte_order_mark_is_passed_over_at_the_beginning_alone():
    data = b"\xef\xbb\xbfdata: a\n\n"
    assert fed([data[i : i + 1] for i in range(len(data))]) == fed([data]) == [b"a"]
    assert fed([b"data: a\n\n" + data]) == [b"a"]


@given(st.lists(st.binary(max_size=6).filter(lambda data: b"\n" not in data and b"\r" not in data), max_size=6))
def test_whole_events_at_once_are_what_they_are_byte_by_byte(events: list[bytes]):
    stream = b"".join(encode(data) for data in events)
    slow = Feed()
    assert Feed().feed(stream) == [data for byte in stream for data in slow.feed(bytes([byte]))] == events


def test_no_event_holds_what_some_clients_take_for_the_end_of_a_line():
    text = json.dumps("a\u2028b\u2029c\x85d\u00e9\u2027", ensure_ascii=False).encode()
    made = sse.plain(text)
    assert len(made.decode().splitlines()) == 1
    assert json.loads(made) == json.loads(text)
    assert "é\u2027".encode() in made  # all else is as it was


@given(st.text())
def test_an_event_made_plain_says_the_same(text: str):
    data = json.dumps(text, ensure_ascii=False).encode()
    assert json.loads(sse.plain(data)) == text
