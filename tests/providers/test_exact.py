"""An answer in OpenAI's exact shape passes as it came; what is not quite in it is put right as ever."""

import json
from typing import Any

import pytest
from msgspec import UNSET

from cleaning import OURS, cleaner
from tertulia.fold import fold
from tertulia.providers.clean import Cleaner
from tertulia.wires import openai


def told(content: str = "Hi.", **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "theirs"}
    return {**head, "system_fingerprint": "fp_1", "choices": [choice], "usage": usage} | fields


def passed(body: bytes, model: str = OURS, gathered: bool = True, n: int | None = None) -> bytes:
    """The bytes that the answer may go out as; none where they may not."""
    meta = Cleaner("prov", model, n=n, now=1).whole(body, gathered=gathered)[-1].meta
    return b"" if meta is UNSET else meta.whole


def changed(**fields: Any) -> dict[str, Any]:
    """A choice that is not quite as it should be."""
    (choice,) = told()["choices"]
    return {"choices": [{**choice, **fields}]}


def said(**fields: Any) -> dict[str, Any]:
    (choice,) = told()["choices"]
    return changed(message={**choice["message"], **fields})


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_an_exact_answer_keeps_its_bytes_but_for_the_models_name(separators: tuple[str, str]) -> None:
    body = json.dumps(told('he said "model": "theirs"', service_tier="default"), separators=separators).encode()
    out = passed(body)
    assert json.loads(out) == json.loads(body) | {"model": OURS}
    assert len(out) == len(body) + len(OURS) - len("theirs")
    assert passed(body, model="theirs") == passed(body, model="") == body


def test_what_passes_says_the_same_as_what_is_put_together() -> None:
    body = json.dumps(told("a \N{GRINNING FACE} b")).encode()
    chunks = cleaner().whole(body, gathered=True)
    slow = fold(cleaner().whole(body))
    assert fold(chunks) == slow
    assert json.loads(chunks[-1].meta.whole) == json.loads(openai.write_completion(slow)) if chunks[-1].meta else False


def test_choices_and_logprobs_are_the_same_either_way() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": None}
    (one,) = changed(logprobs=logprobs)["choices"]
    body = json.dumps(told(choices=[one, {**one, "index": 1, "finish_reason": "length"}])).encode()
    assert passed(body) and fold(cleaner().whole(body, gathered=True)) == fold(cleaner().whole(body))
    assert not passed(body, n=1)


@pytest.mark.parametrize(
    "odd",
    [
        {"id": ""},
        {"object": "chat.completion.chunk"},
        {"created": 0},
        {"created": 1700000000.5},
        {"model": ""},
        {"system_fingerprint": None},
        {"raw": "c2VjcmV0"},
        {"error": None},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 2, "total_tokens": 1}},
        {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cost": -1.0}},
        {"usage": None},
        changed(finish_reason="eos"),
        changed(finish_reason=None),
        changed(index=1),
        changed(delta={}),
        said(role=None),
        said(reasoning="hm"),
        said(tool_calls=[]),
        said(content=[{"type": "text", "text": "a"}]),
    ],
)
def test_what_is_not_exact_does_not_pass(odd: dict[str, Any]) -> None:
    assert not passed(json.dumps(told(**odd)).encode())


@pytest.mark.parametrize("name", ["id", "object", "created", "model", "system_fingerprint"])
def test_what_lacks_a_field_does_not_pass(name: str) -> None:
    body = told()
    del body[name]
    assert not passed(json.dumps(body).encode())


def test_a_name_that_stands_there_twice_or_is_spelt_otherwise_does_not_pass() -> None:
    body = json.dumps(told()).encode()
    assert not passed(body.replace(b'"theirs"', b'"their\\u0073"'))
    assert not passed(body.replace(b"{", b'{"model": "theirs",', 1))


def test_what_is_not_text_does_not_pass_where_nobody_looks() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "more": {"name": "NAME"}}
    body = json.dumps(told(usage=usage)).encode()
    assert passed(body)
    assert not passed(body.replace(b"NAME", b"\xff\xfe"))


def test_an_answer_for_a_stream_comes_in_a_streams_pieces() -> None:
    body = json.dumps(told()).encode()
    assert not passed(body, gathered=False)
    assert [len(chunk.choices) for chunk in cleaner().whole(body)] == [1, 1, 0]
