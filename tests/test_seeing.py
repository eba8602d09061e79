"""Pictures through `tertulia serve`, over a tiny model that sees and one that doesn't, by clients."""

import json
from collections.abc import Generator
from typing import Any

import openai
import pytest
from huggingface_hub import InferenceClient

import seeing
from asking import address
from drawing import data_url, file
from service import Service, serving
from sighted import BLIND, SEES, install, shown, site, talking


@pytest.fixture(scope="module")
def sighted(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """A server over both, which may ask this machine for pictures by name."""
    store, home = install(tmp_path_factory.mktemp("store")), tmp_path_factory.mktemp("home")
    (home / "tertulia").mkdir()
    (home / "tertulia" / "config.toml").write_text('[images]\nhosts = ["localhost"]\n')
    with serving(home, model=SEES, store=store) as running:
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


# ---------------------------------------------------------------- clients, and where pictures come from

ABOUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "shows": {"enum": ["a harbour", "a tower"]},
        "boats": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["shows", "boats"],
    "additionalProperties": False,
}
FORM: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "about", "strict": True, "schema": ABOUT}}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, list[str]]]:
    """The same two pictures in two ways: as URLs of a server, and as data: URLs."""
    folder = tmp_path_factory.mktemp("pictures")
    files = {"harbour.png": file(seeing.picture("harbour", 80, 60)), "tower.png": file(seeing.picture("tower", 40, 90))}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with site(folder) as place:
        yield {
            "url": [f"{place}/{name}" for name in files],
            "base64": [data_url(content) for content in files.values()],
        }


Say = tuple[str, int]
"""What was answered, and how many tokens the prompt had."""


def by_openai(service: Service, messages: list[Any], *, stream: bool) -> Say:
    with openai.OpenAI(base_url=service.address + "/v1", api_key="none", timeout=120) as client:
        fields: Any = {"model": SEES, "messages": messages, "temperature": 0, "response_format": FORM}
        if not stream:
            whole = client.chat.completions.create(**fields)
            assert whole.usage
            return whole.choices[0].message.content or "", whole.usage.prompt_tokens
        parts = list(client.chat.completions.create(**fields, stream=True, stream_options={"include_usage": True}))
        assert parts[-1].usage
        return "".join(part.choices[0].delta.content or "" for part in parts[:-1]), parts[-1].usage.prompt_tokens


def by_huggingface(service: Service, messages: list[Any], *, stream: bool) -> Say:
    with InferenceClient(base_url=service.address + "/v1", timeout=120) as client:
        fields: Any = {"model": SEES, "messages": messages, "temperature": 0, "response_format": FORM}
        if not stream:
            whole = client.chat.completions.create(**fields)
            return whole.choices[0].message.content or "", whole.usage.prompt_tokens
        parts = list(client.chat.completions.create(**fields, stream=True, stream_options={"include_usage": True}))
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        assert parts[-1].usage
        return text, parts[-1].usage.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ask", [by_openai, by_huggingface])
def test_clients_get_an_answer_in_a_form_about_pictures_by_url_and_in_base64(
    sighted: Service, sources: dict[str, list[str]], ask: Any, stream: bool
) -> None:
    by_url = ask(sighted, shown(*sources["url"]), stream=stream)
    in_base64 = ask(sighted, shown(*sources["base64"]), stream=stream)
    assert by_url == in_base64
    text, tokens = by_url
    about = json.loads(text)
    assert about["shows"] in ("a harbour", "a tower") and 0 <= about["boats"] <= 9
    assert tokens > (13 + 9) * 16, "tiles of the two, and sixteen tokens each"


def test_a_host_that_was_not_allowed_by_name_is_refused_at_its_part(
    client: openai.OpenAI, sources: dict[str, list[str]]
) -> None:
    allowed, other = sources["url"]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(messages=shown(allowed, other.replace("localhost", "127.0.0.1")), **talking())
    assert refused.value.param == "messages[0].content[2].image_url"
    assert "127.0.0.1 is not a public address" in str(refused.value)


def test_a_picture_that_is_not_there_is_told_with_its_status(
    client: openai.OpenAI, sources: dict[str, list[str]]
) -> None:
    with pytest.raises(openai.BadRequestError, match="localhost answered 404") as refused:
        client.chat.completions.create(messages=shown(sources["url"][0] + "x"), stream=False, **talking())
    assert refused.value.param == "messages[0].content[1].image_url"
