"""OpenAI's dialect, the answers: chunks, errors, models; what is read is what was written."""

import json
from typing import Any

import msgspec
import pytest

from tertulia import errors
from tertulia.errors import BadRequest, TertuliaError, Upstream
from tertulia.types import (
    Chunk,
    ChunkChoice,
    ChunkMeta,
    Delta,
    ModelCard,
    Usage,
)
from tertulia.wires import openai

# ---------------------------------------------------------------- chunks


def chunk(text: str | None = "a") -> Chunk:
    choices = [] if text is None else [ChunkChoice(index=0, delta=Delta(content=text))]
    return Chunk(id="c", created=1, model="m", choices=choices, system_fingerprint="f")


def last() -> Chunk:
    made = chunk(None)
    made.usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    return made


def test_a_chunk_that_was_written_is_read_back():
    for made in (chunk(), last()):
        again = openai.read_chunk(openai.write_chunk(made, include_usage=True))
        if again.usage is None:
            again.usage = made.usage
        again.raw = made.raw
        assert again == made


def test_what_is_ours_does_not_travel():
    made = chunk()
    made.meta, made.raw = ChunkMeta(provider="secret"), msgspec.UNSET
    assert "secret" not in openai.write_chunk(made).decode()
    assert set(json.loads(openai.write_chunk(made))) == {
        "id", "created", "model", "choices", "system_fingerprint", "object",
    }  # fmt: skip


def test_a_chunk_that_nobody_changed_goes_out_as_it_came():
    raw = b'{ "id":"c", "created":1,"model":"m","choices":[],"odd":{"kept":1} }'
    assert openai.write_chunk(openai.read_chunk(raw)) == raw


def test_the_bytes_that_were_read_are_forgotten_when_the_chunk_is_changed():
    made = openai.read_chunk(openai.write_chunk(chunk("old")))
    made.choices[0].delta.content = "new"
    made.raw = msgspec.UNSET
    assert b"new" in openai.write_chunk(made)


@pytest.mark.parametrize("told", [b"", b',"usage":null', b',"usage": null'], ids=["absent", "null", "spaced"])
def test_usage_is_null_on_text_chunks_only_for_who_asked_for_it(told: bytes):
    raw = b'{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]' + told + b"}"
    made = openai.read_chunk(raw)
    asked, unasked = (json.loads(openai.write_chunk(made, include_usage=asked)) for asked in (True, False))
    assert asked["usage"] is None
    assert "usage" not in unasked
    assert asked["choices"][0]["delta"] == unasked["choices"][0]["delta"] == {"content": "a"}


def test_the_usage_chunk_is_only_for_who_asked_for_it():
    for made in (last(), openai.read_chunk(openai.write_chunk(last(), include_usage=True))):
        assert openai.write_chunk(made) == b""
        assert json.loads(openai.write_chunk(made, include_usage=True))["usage"]["total_tokens"] == 3


def test_a_stranger_does_not_set_our_own_fields():
    for theirs in (b'"raw":"eA==","meta":{"provider":"x"}', b'"raw":5,"meta":[]'):
        raw = b'{"id":"c","created":1,"model":"m","choices":[],' + theirs + b"}"
        made = openai.read_chunk(raw)
        assert made.meta is msgspec.UNSET
        assert made.raw == raw


def test_data_of_several_lines_is_not_sent_on_as_it_is():
    assert b"\n" not in openai.write_chunk(openai.read_chunk(b'{"id":"c",\n"created":1,"model":"m","choices":[]}'))


@pytest.mark.parametrize("data", [b"garbage", b"5", b"[]", b'{"id":1}', b'{"id":"c"', b"\xff", b"[" * 50_000])
def test_an_event_that_is_no_chunk_is_the_backends_fault(data: bytes):
    with pytest.raises(Upstream):
        openai.read_chunk(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"error": {"message": "m", "type": "server_error", "code": "internal_error"}}, errors.EngineFault),
        ({"error": {"message": "m", "type": "upstream_error", "code": "timeout"}}, errors.Timeout),
        ({"error": {"message": "m", "code": "context_length_exceeded", "param": "messages"}}, errors.ContextOverflow),
        ({"error": {"message": "m", "http_status_code": 429}}, errors.Busy),
        ({"error": {"message": "m", "type": "rate_limit_error"}}, errors.Busy),
        ({"error": "m", "error_type": "validation"}, errors.BadRequest),
        ({"error": {"message": "m"}}, errors.Upstream),
    ],
)
def test_an_error_inside_a_stream_is_raised_as_ours(data: Any, kind: type[TertuliaError]):
    with pytest.raises(TertuliaError, match=r"^m$") as caught:
        openai.read_chunk(json.dumps(data).encode())
    assert type(caught.value) is kind


# ---------------------------------------------------------------- errors and models

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TertuliaError) and not issubclass(kind, errors.SetupError)
]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not TertuliaError], ids=lambda kind: kind.__name__)
def test_an_error_that_was_written_is_read_back(kind: type[TertuliaError]):
    again = openai.read_error(kind.status, openai.write_error(kind("what", param="n")), {"Retry-After": "7"})
    assert (type(again), again.message, again.param, again.retry_after) == (kind, "what", "n", 7)


def test_an_error_has_openais_body():
    assert json.loads(openai.write_error(errors.BadRequest("no", param="n"))) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": None}
    }


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (429, b"slow down", errors.Busy, "the backend answered 429: slow down"),
        (502, b"<html>Bad gateway</html>", errors.Upstream, "the backend answered 502"),
        (503, b"", errors.Upstream, "the backend answered 503"),
        (422, b'{"error":"too long","error_type":"validation"}', errors.Upstream, "too long"),
        (400, b'{"error":{"message":"bad n","param":"n"}}', errors.BadRequest, "bad n"),
        (404, b'{"message":"gone"}', errors.NotFound, "gone"),
    ],
)
def test_errors_of_any_shape_are_understood(status: int, body: bytes, kind: type[TertuliaError], message: str):
    error = openai.read_error(status, body, {})
    assert (type(error), error.message) == (kind, message)


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2015 07:28:00 GMT", "nonsense", "-5", "9" * 400])
def test_any_retry_after_is_survived(header: str):
    assert (openai.read_error(429, b"", {"Retry-After": header}).retry_after or 0) >= 0


def test_an_error_with_half_a_surrogate_pair_can_be_told():
    assert json.loads(openai.write_error(BadRequest("\ud83d", param="\ud83d")))["error"]["message"] == "?"


def test_models_that_were_written_are_read_back():
    cards = [
        ModelCard(id="a/b", created=5, owned_by="x", context_length=9, aliases=["b"]),
        ModelCard(id="c", created=1, owned_by="y"),
    ]
    body = openai.write_models(cards)
    assert openai.read_models(body) == cards
    assert {item["object"] for item in json.loads(body)["data"]} == {"model"}
    assert openai.read_models(b'{"data":[{"id":"bare"}]}')[0].id == "bare"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data":5}', b'{"data":[{}]}', b'{"data":[{"id":5}]}'])
def test_a_list_of_models_that_is_none_is_the_backends_fault(body: bytes):
    with pytest.raises(Upstream):
        openai.read_models(body)


def test_a_count_is_read_back():
    assert openai.read_count(openai.write_count(12)) == 12
    with pytest.raises(Upstream):
        openai.read_count(b"{}")
