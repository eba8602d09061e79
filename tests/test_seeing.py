"""Pictures through `tertulia serve`, over a tiny model that sees and one that doesn't, by a client."""

import json
from collections.abc import Generator
from typing import Any

import openai
import pytest

import seeing
from asking import address
from service import Service, serving
from sighted import BLIND, SEES, install, talking


@pytest.fixture(scope="module")
def sighted(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """A server over both."""
    store = install(tmp_path_factory.mktemp("store"))
    with serving(tmp_path_factory.mktemp("home"), model=SEES, store=store) as running:
        running.wait()
        yield running


@pytest.fixture
def client(sighted: Service) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=sighted.address + "/v1", api_key="none", timeout=120) as made:
        yield made


def show(picture: str, question: str = "what is it for?") -> list[Any]:
    url = address(seeing.picture(picture, 64, 64))
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}, _text(question)]}]


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_a_picture_is_answered_whole_and_streamed_alike(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(messages=show("a"), **talking(logprobs=True, top_logprobs=2))
    assert whole.usage and whole.usage.prompt_tokens > 17 * 16
    parts = list(client.chat.completions.create(messages=show("a"), stream=True, **talking()))
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole.choices[0].message.content
    assert whole.choices[0].logprobs and whole.choices[0].logprobs.content
    assert [len(one.top_logprobs) for one in whole.choices[0].logprobs.content] == [2] * 8
    other = client.chat.completions.create(messages=show("b"), **talking())
    assert other.choices[0].message.content != text


def test_an_answer_about_a_picture_keeps_to_a_form(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": "x", "strict": True, "schema": {**schema, "additionalProperties": False}},
    }
    fields = talking(max_tokens=30, response_format=form)
    said = client.chat.completions.create(messages=show("a"), **fields).choices[0].message.content
    assert said and isinstance(json.loads(said)["on"], bool)


def test_the_list_of_models_says_which_see(client: openai.OpenAI, sighted: Service) -> None:
    _, body = sighted.get("/v1/models")
    cards = {card["id"]: card["architecture"]["input_modalities"] for card in json.loads(body)["data"]}
    assert cards[SEES] == ["text", "image"]
    assert cards[BLIND] == ["text"]


def test_a_picture_for_a_model_that_reads_text_is_refused_with_those_that_see(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(messages=show("a"), **talking(model=BLIND))
    assert refused.value.param == "messages[0].content[0]"
    assert SEES in str(refused.value)


def test_a_broken_picture_is_refused_at_its_part(client: openai.OpenAI) -> None:
    messages = show("a")
    messages[0]["content"].append({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(messages=messages, **talking())
    assert refused.value.param == "messages[0].content[2].image_url"
