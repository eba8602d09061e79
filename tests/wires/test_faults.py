"""What providers say went wrong: their status, code and Retry-After are kept, and whether another may do better."""

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from tertulia import errors
from tertulia.errors import TertuliaError
from tertulia.wires.faults import in_band, read_error, write_error


def read(status: int, body: Any = None, **headers: str) -> TertuliaError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_error(status, data, {name.replace("_", "-"): value for name, value in headers.items()}, "prov")


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (400, errors.BadRequest, False),
        (401, errors.Unauthorized, True),
        (402, errors.Upstream, True),
        (403, errors.Forbidden, True),
        (404, errors.NotFound, True),
        (408, errors.Upstream, True),
        (409, errors.Upstream, True),
        (413, errors.TooLarge, False),
        (422, errors.BadRequest, False),
        (424, errors.Upstream, True),
        (425, errors.Upstream, True),
        (429, errors.Busy, True),
        (500, errors.Upstream, True),
        (502, errors.Upstream, True),
        (504, errors.Timeout, True),
        (529, errors.Upstream, True),
    ],
)
def test_a_providers_status_is_kept_and_says_whether_another_may_do_better(
    status: int, kind: type[TertuliaError], again: bool
):
    for body in ({"error": {"message": "what it said"}}, b"what it said"):
        error = read(status, body)
        assert (type(error), error.status, error.retryable) == (kind, status, again)
        assert error.message == f"prov answered {status}: what it said"


@pytest.mark.parametrize("status", [204, 301, 302, 503, 700])
def test_what_is_no_error_to_pass_on_is_a_bad_gateway(status: int):
    error = read(status, b"")
    assert (type(error), error.status, error.retryable) == (errors.Upstream, 502, True)
    assert error.message == f"prov answered {status}"


def test_a_class_keeps_its_own_status_when_an_error_has_another():
    assert read(422, b"").status == 422
    assert errors.BadRequest("x").status == 400 and not errors.BadRequest("x").retryable


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m", "error_type": "validation"}, "m"),
        ({"message": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ({"detail": [{"loc": ["body", "n"], "msg": "m"}, {"msg": "o"}]}, "body.n: m; o"),
        ({"error": {"detail": {"a": 1}}}, '{"a":1}'),
        ({"error": ["m", "o"]}, "m; o"),
        ({"error_message": "m"}, "m"),
        ({"msg": "m"}, "m"),
        ([{"error": {"message": "m"}}], "m"),
        ({"error": {"message": "m", "metadata": {"raw": "and behind it o"}}}, "m; and behind it o"),
        (b"m", "m"),
        (b"<html>m</html>", ""),
        (b"\xff\xfe" * 300, ""),
        ({"error": None}, ""),
        ({}, ""),
        (5, "5"),
    ],
)
def test_a_message_is_found_in_every_shape(body: Any, message: str):
    assert read(500, body).message == f"prov answered 500{': ' if message else ''}{message}"


def test_code_and_param_go_on_to_the_client():
    error = read(429, {"error": {"message": "m", "type": "t", "code": "insufficient_quota", "param": "n"}})
    told = json.loads(write_error(error))["error"]
    assert (told["code"], told["param"], told["type"]) == ("insufficient_quota", "n", "rate_limit_error")
    assert error.code == "queue_full"  # what our own figures count


@pytest.mark.parametrize("code", ["model_not_supported", "model_not_found"])
def test_a_model_that_this_provider_has_not_another_may_have(code: str):
    assert read(400, {"error": {"message": "m", "code": code}}).retryable
    assert type(read(404, {"error": {"message": "m", "code": code}})) is errors.UnknownModel


@pytest.mark.parametrize(
    "error",
    [
        {"message": "m", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 10 tokens"},
        {"message": "prompt is too long: 9 tokens > 8 maximum"},
    ],
)
def test_too_long_is_told_as_such(error: Any):
    assert type(read(400, {"error": error})) is errors.ContextOverflow


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "1.2"}, 2),
        ({"Retry_After": "-3"}, 0),
        ({"retry_after_ms": "1500"}, 2),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_kept(headers: dict[str, str], seconds: int | None):
    assert read(429, b"", **headers).retry_after == seconds


def test_a_date_to_wait_for_is_told_in_seconds():
    assert 8 <= (read(429, b"", Retry_After=formatdate(time.time() + 10)).retry_after or 0) <= 11


def test_what_is_no_error_is_none():
    for fields in ({"choices": [{"delta": {"content": "a"}}]}, {"usage": {"total_tokens": 1}}, {"id": "x"}):
        assert in_band("prov", {"error": None, **fields}) is None


def test_a_secret_is_left_out_of_everything_that_an_error_says():
    error = read(401, {"error": {"message": "bad sk-12345!", "code": "sk-12345", "param": "sk-12345"}})
    error.hide(["sk-12345", "", "bad"])
    assert "sk-12345" not in write_error(error).decode() + str(error) + repr(error)
    assert error.message == "prov answered 401: bad [key]!"
