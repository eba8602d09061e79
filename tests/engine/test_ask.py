"""What the fields of a request do, over tiny models."""

from typing import Any

import numpy as np
import pytest

import tiny
from asking import FOREVER, Start, ask, said, stream, whole
from tertulia.errors import BadRequest, TemplateRefused
from tertulia.types import ChatRequest, Message


async def test_a_bias_of_100_makes_a_token_sure(start: Start) -> None:
    engine = await start()
    token = engine._tokens.encode("é")[0]
    (the,) = engine._tokens.encode("the")
    assert said(await ask(engine, logit_bias={str(the): 100.0}, temperature=1.0, max_tokens=5)) == "the" * 5
    listed = [None] * the + [100.0]
    assert said(await ask(engine, logit_bias=listed, temperature=0, max_tokens=5)) == "the" * 5
    assert said(await ask(engine, logit_bias={str(token): 100.0}, max_tokens=1)) == "", "half a character is not told"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logit_bias": {"512": 1.0}}, "logit_bias[512]"),
        ({"logit_bias": {"3": 1.0, "-1": 1.0}}, "logit_bias[-1]"),
        ({"logit_bias": [0.0] * 512 + [1.0]}, "logit_bias[512]"),
        ({"stop_token_ids": [1, 99_999]}, "stop_token_ids[1]"),
        ({"min_tokens": 13}, "min_tokens"),
    ],
    ids=["a bias", "another bias", "a list of biases", "a stop token", "more tokens than allowed"],
)
async def test_what_the_model_does_not_have_is_refused(start: Start, fields: dict[str, Any], param: str) -> None:
    engine = await start()
    with pytest.raises(BadRequest) as caught:
        await ask(engine, **fields)
    assert caught.value.param == param
    assert whole(engine)


async def test_the_models_own_end_stops_it_unless_told_otherwise(start: Start) -> None:
    engine = await start()
    ends = {"logit_bias": {str(tiny.IM_END): 100.0}, "ignore_eos": None}
    ended = await ask(engine, **ends)
    assert (said(ended), ended.choices[0].finish_reason, ended.usage.completion_tokens) == ("", "stop", 1)
    least = await ask(engine, **ends, min_tokens=5)
    assert (least.choices[0].finish_reason, least.usage.completion_tokens) == ("stop", 6)
    on = await ask(engine, logit_bias=ends["logit_bias"], ignore_eos=True)
    assert (said(on), on.choices[0].finish_reason, on.usage.completion_tokens) == ("", "length", 12)


async def test_a_stop_token_ends_it(start: Start) -> None:
    engine = await start()
    (the,) = engine._tokens.encode("the")
    ended = await ask(engine, logit_bias={str(the): 100.0}, stop_token_ids=[the])
    assert (said(ended), ended.choices[0].finish_reason) == ("", "stop")
    later = await ask(engine, logit_bias={str(the): 100.0}, stop_token_ids=[the], min_tokens=3, temperature=0)
    assert "the" not in said(later)
    assert later.usage.completion_tokens == 4


async def test_a_stop_string_is_cut_off_wherever_it_begins(start: Start) -> None:
    engine = await start()
    text = said(await ask(engine, temperature=0, max_tokens=60))
    for begin in (0, 1, 7, len(text) - 4):
        stop = text[begin : begin + 4]
        cut = await ask(engine, temperature=0, max_tokens=60, stop=["\u0000never", stop], logprobs=True)
        assert said(cut) == text[: text.index(stop)]
        assert cut.choices[0].finish_reason == "stop"
    assert said(await ask(engine, temperature=0, max_tokens=60, stop="")) == text


async def test_log_probabilities_are_the_models_own(start: Start) -> None:
    engine = await start()
    asked = {"logprobs": True, "max_tokens": 20, "seed": 2}
    hot = await ask(engine, temperature=1.5, top_logprobs=20, **asked)
    assert hot.choices[0].logprobs
    entries = hot.choices[0].logprobs.content or []
    assert len(entries) == 20
    assert b"".join(bytes(entry.bytes or []) for entry in entries).decode(errors="replace").startswith(said(hot))
    assert len(said(hot)) > 10
    for entry in entries:
        rivals = [rival.logprob for rival in entry.top_logprobs]
        assert rivals == sorted(rivals, reverse=True)
        assert len(rivals) == 20
        assert sum(np.exp(rivals)) <= 1.0001
        assert entry.logprob <= rivals[0]
    bare = await ask(engine, temperature=1.5, **asked)
    assert bare.choices[0].logprobs
    assert [(entry.token, entry.logprob) for entry in bare.choices[0].logprobs.content or []] == [
        (entry.token, entry.logprob) for entry in entries
    ]
    assert all(not entry.top_logprobs for entry in bare.choices[0].logprobs.content or [])


async def test_what_the_template_refuses_is_told(start: Start) -> None:
    engine = await start()
    messages = [Message(role="user", content="a"), Message(role="assistant", content="b")]
    with pytest.raises(TemplateRefused, match="roles"):
        engine._asker._template = type(engine._asker._template)("{{ raise_exception('no such roles') }}", {})
        await stream(engine, ChatRequest(messages=messages))
    assert whole(engine)


async def test_the_answer_goes_on_from_the_assistants_words(start: Start) -> None:
    engine = await start()
    answer = said(await ask(engine, "it", temperature=0, max_tokens=20))
    half = answer[: len(answer) // 2]
    if engine._tokens.encode(answer)[: len(engine._tokens.encode(half))] != engine._tokens.encode(half):
        half = answer  # the cut fell within a token
    messages = [Message(role="user", content="it"), Message(role="assistant", content=half)]
    prompt = engine._asker._template.render(ChatRequest(messages=messages)).text
    assert prompt.endswith("<|im_start|>assistant\n" + half)
    going = await stream(engine, ChatRequest(messages=messages, temperature=0, max_tokens=3, **FOREVER))
    assert going[-1].usage
