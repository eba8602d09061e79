"""Which models there are, and which one a request means."""

import pytest

from echo import MODEL, Echo
from talk import Ask, chat
from tertulia.errors import UnknownModel
from tertulia.server.models import Models
from tertulia.types import ModelCard


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
