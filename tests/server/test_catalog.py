"""GET /api/catalog: every model that there is, for the page that shows them."""

import aiohttp
import pytest
from msgspec import structs

from echo import Echo
from router_setup import Setup, party, row, setup
from talk import Ask
from tertulia.config import Config
from tertulia.router.router import Router
from tertulia.server.app import running
from tertulia.types import ModelCard

__all__ = ["setup"]


@pytest.fixture
def backend(setup: Setup) -> Router:
    lone = structs.replace(row("org/Lone"), aliases=("lone-1",), recommended=True)
    return setup.router(party("far", why="set FAR_KEY"), rows=(lone,))


async def test_what_nobody_can_be_asked_for_is_in_the_catalog_alone(ask: Ask):
    models = (await ask(path="/api/catalog")).json["models"]
    listed = (await ask(path="/v1/models")).json["data"]
    assert {"org/Lone", "org/far"} <= {one["id"] for one in models}
    assert not {"org/Lone", "org/far"} & {one["id"] for one in listed}
    [far] = next(one for one in models if one["id"] == "org/far")["providers"]
    assert (far["status"], far["why"]) == ("no key", "set FAR_KEY")


@pytest.mark.parametrize("name", ["org/Lone", "ORG/lone", "lone-1", "Lone", "org%2FLone"])
async def test_one_model_is_found_by_any_of_its_names(ask: Ask, name: str):
    said = await ask(path=f"/api/catalog/{name}")
    assert (said.status, said.json["id"], said.json["recommended"]) == (200, "org/Lone", True)


async def test_a_model_that_there_is_not_is_404_with_what_is_near(ask: Ask):
    said = await ask(path="/api/catalog/nobody/knows")
    assert (said.status, said.error["code"]) == (404, "model_not_found")
    assert "nobody/knows" in said.error["message"]


async def test_it_is_read_only(ask: Ask):
    assert (await ask({}, path="/api/catalog")).status == 405
    assert (await ask({}, path="/api/catalog/org/Lone")).status == 405


async def test_it_needs_a_token_where_chats_do(config: Config, backend: Router, http: aiohttp.ClientSession):
    config.server.tokens = ["hf_only-this-one"]
    async with running(backend, config) as url:
        for path in ("/api/catalog", "/api/catalog/org/Lone"):
            async with http.get(url + path) as answer:
                assert answer.status == 401
            async with http.get(url + path, headers={"Authorization": "Bearer hf_only-this-one"}) as answer:
                assert answer.status == 200


async def test_a_backend_that_knows_no_catalog_tells_its_own_models(config: Config, http: aiohttp.ClientSession):
    echo = Echo(cards=[ModelCard(id="test/echo", created=1, owned_by="t", context_length=64)])
    async with running(echo, config) as url, http.get(f"{url}/api/catalog") as answer:
        [model] = (await answer.json())["models"]
    assert (model["id"], model["status"], model["context_length"]) == ("test/echo", "ready", 64)
    assert [one["provider"] for one in model["providers"]] == ["local"]
