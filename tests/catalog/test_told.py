"""What providers tell of their models, in the shapes there are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.catalog import told
from tertulia.catalog.told import Mapping, Told
from tertulia.errors import Upstream

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"


def one(item: Any, provider: str = "mine") -> Told:
    [model] = told.read_models(provider, json.dumps({"data": [item]}).encode())
    return model


@pytest.mark.parametrize(
    ("provider", "item", "price"),
    [
        ("together", {"pricing": {"hourly": 0, "input": 1.04, "output": 1.04, "base": 0}}, (1.04, 1.04)),
        ("together", {"pricing": {"hourly": 0, "input": 0, "output": 0}}, None),
        ("x", {"pricing": {"prompt": "0.00000015", "completion": "0.0000006"}}, (0.15, 0.6)),
        ("x", {"pricing": {"prompt": "0", "completion": "0"}}, (0, 0)),
        ("x", {"pricing": {"prompt": "-1", "completion": "-1"}}, None),
        ("x", {"pricing": {"prompt": 0.2, "completion": 0.4}}, (0.2, 0.4)),
        (
            "novita",
            {"pricing": {"prompt": {"price_per_m_decimal": "0.15"}, "completion": {"price_per_m_decimal": "0.5"}}},
            (0.15, 0.5),
        ),
        ("novita", {"input_token_price_per_m": 2690, "output_token_price_per_m": 4000}, (0.269, 0.4)),
        ("x", {"input_token_price_per_m": 0.2, "output_token_price_per_m": 0.4}, None),
        ("deepinfra", {"metadata": {"pricing": {"input_tokens": 0.1, "output_tokens": 0.15}}}, (0.1, 0.15)),
        ("deepinfra", {"metadata": None}, None),
        ("x", {"pricing": "ask us"}, None),
        ("x", {"pricing": {"input": "1e999", "output": True}}, None),
        ("x", {}, None),
    ],
)
def test_prices_are_read_in_the_shapes_there_are(provider: str, item: Any, price: Any):
    assert one({"id": "m", **item}, provider).price == price


@pytest.mark.parametrize(
    ("item", "context"),
    [
        ({"context_length": 131072}, 131072),
        ({"max_model_len": 32768, "owned_by": "vllm"}, 32768),
        ({"context_window": 8192}, 8192),
        ({"context_size": 64000}, 64000),
        ({"metadata": {"context_length": 163840}}, 163840),
        ({"top_provider": {"context_length": 64000}}, 64000),
        ({"max_model_len": None}, 0),
        ({"context_length": "long"}, 0),
    ],
)
def test_contexts_are_read_in_the_shapes_there_are(item: Any, context: int):
    assert one({"id": "m", **item}).context == context


@pytest.mark.parametrize(
    ("item", "fields"),
    [
        ({"supports_tools": True, "supports_image_input": False}, {"tools": True, "image": False}),
        ({"architecture": {"input_modalities": ["text", "image"]}}, {"image": True}),
        (
            {"supported_parameters": ["tools", "seed"]},
            {"tools": True, "response_format": False, "logprobs": False},
        ),
        ({"features": ["function-calling"]}, {"tools": True}),
        ({"capabilities": {"function_calling": False, "vision": True}}, {"tools": False, "image": True}),
        ({}, {}),
    ],
)
def test_what_is_not_said_is_not_known(item: Any, fields: dict[str, bool]):
    assert one({"id": "m", **item}).fields == fields


@pytest.mark.parametrize(
    "item",
    [
        {"id": "text-embedding-3-small"},
        {"id": "whisper-large-v3"},
        {"id": "tts-1-hd"},
        {"id": "black-forest-labs/FLUX.1-schnell"},
        {"id": "m", "type": "image"},
        {"id": "m", "type": "embedding"},
        {"id": "m", "output_modalities": ["speech"]},
        {"id": "m", "supports_chat": False},
        {"name": "m", "endpoints": ["embed"]},
    ],
)
def test_what_holds_no_conversation_is_left_out(item: Any):
    assert told.read_models("x", json.dumps({"data": [item]}).encode()) == []


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x1b[31mred", "org/exe.\u202egnp"])
def test_a_name_that_a_terminal_or_a_page_would_not_show_as_it_is_is_left_out(name: str):
    assert told.read_models("x", json.dumps({"data": [{"id": name}]}).encode()) == []


@pytest.mark.parametrize(
    "item",
    [{"id": "m", "type": "chat"}, {"id": "gpt-4o"}, {"name": "m", "endpoints": ["chat"]}, {"id": "Qwen2.5-VL-7B"}],
)
def test_what_may_hold_one_is_kept(item: Any):
    for body in ([item], {"data": [item]}, {"models": [item]}):
        assert len(told.read_models("x", json.dumps(body).encode())) == 1


def test_the_routers_list_tells_of_itself_and_of_others():
    parts = [
        {"provider": "groq", "status": "live", "context_length": 1000, "pricing": {"input": 1, "output": 2}},
        {"provider": "nscale", "status": "error", "context_length": 9000, "pricing": {"input": 3, "output": 4}},
        {
            "provider": "novita",
            "status": "live",
            "context_length": 2000,
            "supports_tools": True,
            "is_model_author": True,
        },
    ]
    item = {"id": LLAMA, "architecture": {"input_modalities": ["text"]}, "providers": parts}
    body = json.dumps({"object": "list", "data": [item]}).encode()
    [model] = told.read_models("huggingface", body)
    assert (model.context, model.price, model.fields) == (2000, (1, 2), {"tools": True, "image": False})
    of = told.read_parts(body)
    assert of[LLAMA, "groq"].price == (1, 2)
    assert (of[LLAMA, "nscale"].live, of[LLAMA, "novita"].author) == (False, True)


def test_the_hubs_mappings_come_as_a_list_or_an_object():
    entry = {"providerId": "there", "status": "live", "task": "conversational", "isModelAuthor": True}
    other = {"providerId": "that", "status": "live", "task": "text-to-image"}
    staged = {"providerId": "soon", "status": "staging", "task": "conversational"}
    listed = [{"provider": "groq", **entry}, {"provider": "fal-ai", **other}, {"provider": "novita", **staged}]
    for mapping in (listed, {"groq": entry, "fal-ai": other, "novita": staged}):
        body = json.dumps([{"id": "o/m", "inferenceProviderMapping": mapping}]).encode()
        assert told.read_mappings(body, ("text",)) == [
            Mapping(model="o/m", provider="groq", id="there", input=("text",), author=True)
        ]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "no"}', b"7", b'"models"', b"\xff"])
def test_what_is_no_list_is_an_error(body: bytes):
    with pytest.raises(Upstream):
        told.read_models("x", body)


WORDS = ["id", "pricing", "prompt", "completion", "input", "output", "metadata", "architecture", "input_modalities"]
WORDS += ["providers", "provider", "status", "context_length", "type", "features", "supported_parameters", "endpoints"]
WORDS += ["inferenceProviderMapping", "providerId", "task", "capabilities"]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=15,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(WORDS), PLAIN, max_size=6).map(lambda item: {"id": "m", **item}), max_size=3
    )
)
def test_whatever_a_list_holds_is_read_or_left_out(items: list[Any]):
    body = json.dumps(items).encode()
    for model in told.read_models("novita", body):
        assert model.context >= 0
        assert model.price is None or min(model.price) >= 0
    told.read_parts(body)
    told.read_mappings(body, ())
