"""What a provider sends that can't be read, or that says what went wrong."""

import json
import logging
from typing import Any

import pytest

from cleaning import clean, cleaner, whole
from tertulia.errors import Busy, TertuliaError, Upstream
from tertulia.fold import fold
from tertulia.wires import openai
from upstream import chunk, completion, event, finish, text

EMPTY: tuple[dict[str, Any], ...] = (
    {}, {"content": None}, {"content": ""}, {"role": None}, {"content": "", "tool_calls": []},
)  # fmt: skip


# ---------------------------------------------------------------- what can't be read, and what went wrong


def test_events_that_cant_be_read_are_dropped_and_counted(caplog: pytest.LogCaptureFixture):
    one = cleaner()
    for data in (b"garbage", b"[1]", b'{"a":1}', b'{"choices":', b"\xff"):
        assert one.read(data) == []
    assert one.read(b"") == one.read(b" ") == []
    one.read(text("a")[6:-2])
    with caplog.at_level(logging.WARNING):
        one.end(done=True)
    assert one.dropped == 5
    assert [record.getMessage() for record in caplog.records] == ["prov: 5 events could not be read and were left out"]


def test_nothing_but_garbage_is_an_error():
    with pytest.raises(Upstream, match="prov answered 7 bytes that are not JSON: that is no chat completion"):
        clean(event(b"garbage"))


def test_events_without_a_blank_line_between_them_are_told_apart():
    data = text("a", first=True)[:-1] + text("b")[:-1] + finish()
    assert fold(clean(data)).choices[0].message.content == "ab"


def test_an_event_of_many_lines_is_one():
    data = b"".join(
        b"data: " + line + b"\n" for line in json.dumps(json.loads(text("a")[6:]), indent=1).encode().split(b"\n")
    )
    chunks = clean(data + b"\n", finish())
    assert fold(chunks).choices[0].message.content == "a"
    assert b"\n" not in openai.write_chunk(chunks[0])


def test_a_chunk_of_nothing_is_not_told():
    assert len(clean(chunk(), text("a"), chunk(), finish())) == 3


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"error": {"message": "out of luck", "code": 429}}, 429),
        ({"error": {"message": "out of luck", "code": "429"}}, 429),
        ({"error": {"message": "out of luck", "type": "rate_limit_error"}}, 429),
        ({"error": {"message": "out of luck", "http_status_code": 422}}, 422),
        ({"error": "out of luck", "error_type": "overloaded"}, 429),
        ({"error": "out of luck"}, 502),
        ({"error": {"message": "out of luck"}, "choices": []}, 502),
        ({"error": {"message": "out of luck", "code": 503}}, 502),
        ({"object": "error", "message": "out of luck", "code": 400}, 400),
        ({"message": "out of luck", "type": "server_error"}, 502),
        ({"detail": "out of luck"}, 502),
        ({"id": "c", "created": 1, "model": "m",
          "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
          "error": {"message": "out of luck"}}, 502),
        ({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "out of luck"}}]}, 502),
    ],
)  # fmt: skip
def test_an_error_in_the_stream_is_raised_in_every_shape(told: Any, status: int):
    for read in (lambda: clean(text("a"), event(told)), lambda: whole(told)):
        with pytest.raises(TertuliaError, match=r"^prov .*out of luck") as caught:
            read()
        assert caught.value.status == status
        assert caught.value.retryable == (status not in (400, 422))
    if status == 429:
        assert type(caught.value) is Busy


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "nothing"),
        (b"<html>", "HTML"),
        (b"hello", "5 bytes that are not JSON"),
        (b"[1]", "JSON of another shape"),
        (b"{}", "JSON of another shape"),
        (b'{"choices":[]}', "JSON of another shape"),
        (b'{"choices":[{"index":0}]}', "JSON of another shape"),
        (json.dumps(completion() | {"choices": []}).encode(), "JSON of another shape"),
    ],
)
def test_a_whole_answer_that_is_none_is_an_error(body: bytes, what: str):
    with pytest.raises(Upstream, match=f"prov answered {what}: that is no chat completion") as caught:
        whole(body)
    assert caught.value.retryable
