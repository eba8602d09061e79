"""Which models there are, and which one a request means."""

from typing import Any

import pytest

from echo import MODEL, Echo
from talk import Ask, chat
from tertulia.errors import UnknownModel
from tertulia.server.models import Models
from tertulia.types import Architecture, ModelCard, Pricing, ProviderCard
from tertulia.wires import openai


async def test_the_list_is_openais(ask: Ask):
    said = (await ask(path="/v1/models")).json
    assert said["object"] == "list"
    assert [(card["id"], card["object"]) for card in said["data"]] == [(MODEL, "model"), ("other/echo-2", "model")]
    assert said["data"][0]["context_length"] == 8192


async def test_a_model_is_found_by_its_id_with_slashes_or_an_alias(ask: Ask):
    for path in ("/v1/models/test/echo", "/v1/models/test%2Fecho", "/v1/models/echo"):
        assert (await ask(path=path)).json["id"] == MODEL
    missing = await ask(path="/v1/models/test/none")
    assert (missing.status, missing.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("name", [None, "", "default", "dummy", "tgi", MODEL, "echo", f"{MODEL}:local", "echo:local"])
async def test_these_mean_the_default_model(ask: Ask, name: str | None):
    assert (await ask(chat("hi", model=name))).json["model"] == MODEL


async def test_an_unknown_model_is_told_the_nearest_and_how_to_get_it(ask: Ask):
    said = await ask(chat("hi", model="test/ecco"))
    assert (said.status, said.error["code"], said.error["param"]) == (404, "model_not_found", "model")
    assert "test/echo" in said.error["message"]
    assert "'tertulia pull test/ecco' gets it" in said.error["message"]


def test_a_suffix_counts_only_when_it_is_known_and_last():
    cards = [ModelCard(id="a", created=1, owned_by="t"), ModelCard(id="b:local", created=1, owned_by="t")]
    models = Models(Echo(cards=cards))
    assert models.resolve("a:local") == "a"
    assert models.resolve("b:local") == "b:local"
    for name in ("a:cheapest", "a:local:x", ":local", "a:"):
        with pytest.raises(UnknownModel):
            models.resolve(name)


def test_a_backend_that_tells_of_no_models_is_asked_for_any():
    backend = Echo()
    backend.cards = []
    assert Models(backend).resolve("whatever") == "whatever"
    assert Models(backend).resolve(None) is None


def served(name: str, **more: Any) -> ModelCard:
    providers = [
        ProviderCard(
            provider="novita",
            context_length=1048576,
            pricing=Pricing(1.69, 3.38),
            supports_tools=True,
            supports_structured_output=False,
            first_token_latency_ms=1490,
            throughput=24.69,
        ),
        ProviderCard(provider="groq", status="error", is_model_author=True),
        ProviderCard(provider="nscale", status="no key", capabilities={"seed": True}, probed={"seed": 5}),
    ]
    return ModelCard(
        id=name, created=7, owned_by="o", architecture=Architecture(["text"], ["text"]), providers=providers, **more
    )


async def test_a_model_of_many_providers_is_told_in_the_routers_shape(ask: Ask, backend: Echo):
    backend.cards = [served("o/m")]
    [model] = (await ask(path="/v1/models")).json["data"]
    assert model == {
        "id": "o/m",
        "object": "model",
        "created": 7,
        "owned_by": "o",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "providers": [
            {
                "provider": "novita",
                "status": "live",
                "is_model_author": False,
                "context_length": 1048576,
                "pricing": {"input": 1.69, "output": 3.38},
                "supports_tools": True,
                "supports_structured_output": False,
                "first_token_latency_ms": 1490,
                "throughput": 24.69,
            },
            {"provider": "groq", "status": "error", "is_model_author": True},
            {
                "provider": "nscale",
                "status": "no key",
                "is_model_author": False,
                "capabilities": {"seed": True},
                "probed": {"seed": 5},
            },
        ],
    }
    assert (await ask(path="/v1/models/o/m")).json == model


class Own(Echo):
    """A backend that knows its models' names itself, as the router does."""

    def resolve(self, name: str | None) -> str:
        if name == "nobody":
            raise UnknownModel("there is nobody", param="model")
        return {"short": "o/m", None: "o/m"}.get(name, name or "")


def test_a_backend_that_resolves_names_is_asked():
    models = Models(Own(cards=[served("o/m", aliases=["other"])]))
    assert models.resolve("short") == models.resolve(None) == "o/m"
    assert models.resolve("x/unknown:novita") == "x/unknown:novita"
    with pytest.raises(UnknownModel, match="nobody"):
        models.resolve("nobody")


def test_a_card_is_found_with_a_suffix_or_without():
    models = Models(Own(cards=[served("o/m"), served("o/n:free")]))
    assert [card.id for name in ("short", "o/m", "o/m:novita") if (card := models.find(name))] == ["o/m"] * 3
    assert (found := models.find("o/n:free")) is not None
    assert found.id == "o/n:free"
    assert models.find("nobody") is models.find("o/none") is models.find("none:") is None


async def test_a_list_that_has_not_changed_is_encoded_once(ask: Ask, backend: Echo, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []
    real = openai.write_models

    def count(cards: list[ModelCard]) -> bytes:
        made.append(len(cards))
        return real(cards)

    monkeypatch.setattr("tertulia.wires.openai.write_models", count)
    backend.cards = [served(f"o/m-{index}") for index in range(500)]
    first = await ask(path="/v1/models")
    assert (await ask(path="/v1/models")).body == first.body
    backend.cards = backend.cards[:499]
    assert len((await ask(path="/v1/models")).json["data"]) == 499
    assert made == [500, 499]
