"""The Hub's API as far as its clients need it, asked by huggingface_hub itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest
from huggingface_hub import HfApi, InferenceClient
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.inference._providers import _common, hf_inference

from echo import Echo
from talk import Ask
from tertulia.config import Config
from tertulia.server.app import running
from tertulia.types import Architecture, ModelCard, ProviderCard

SMALL, LLAMA, SCOUT, COLD = "o/small", "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Scout", "z/cold"
TEXT, SIGHT = "text-generation", "image-text-to-text"


def card(name: str, created: int = 0, *, sees: bool = False, **statuses: str) -> ModelCard:
    providers = [ProviderCard(provider=key.replace("_", "-"), status=word) for key, word in statuses.items()]
    reads = ["text", "image"] if sees else ["text"]
    owner = name.partition("/")[0]
    return ModelCard(
        id=name, created=created, owned_by=owner, architecture=Architecture(reads, ["text"]), providers=providers
    )


@pytest.fixture
def backend() -> Echo:
    small = card(SMALL, 1_700_000_000)
    small.status, small.aliases = "installed", ["small"]
    return Echo(
        cards=[
            small,
            card(LLAMA, 1_720_000_000, featherless_ai="live", groq="error", together="no key"),
            card(SCOUT, 1_710_000_000, sees=True, fireworks_ai="live"),
            card(COLD, groq="no key"),
        ]
    )


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """huggingface_hub remembers what it was told for as long as a process lives."""
    kept = (_common._fetch_inference_provider_mapping, hf_inference._check_supported_task)
    for remembered in (*kept, hf_inference._fetch_recommended_models):
        remembered.cache_clear()
    yield


async def aside(work: Callable[[], Any]) -> Any:
    """A blocking client's work, beside the server's loop."""
    return await asyncio.to_thread(work)


async def listed(url: str, **asked: Any) -> list[str]:
    return await aside(lambda: [model.id for model in HfApi(endpoint=url, token=False).list_models(**asked)])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [SMALL, LLAMA, SCOUT, COLD]),
        ({"inference": "warm"}, [SMALL, LLAMA, SCOUT]),
        ({"inference_provider": "all"}, [LLAMA, SCOUT]),
        ({"inference_provider": "featherless-ai"}, [LLAMA]),
        ({"inference_provider": ["featherless-ai", "fireworks-ai"]}, [LLAMA, SCOUT]),
        ({"inference_provider": "groq"}, []),
        ({"inference_provider": "all", "pipeline_tag": SIGHT}, [SCOUT]),
        ({"pipeline_tag": TEXT}, [SMALL, LLAMA, COLD]),
        ({"filter": "conversational"}, [SMALL, LLAMA, SCOUT, COLD]),
        ({"filter": ["conversational", SIGHT]}, [SCOUT]),
        ({"filter": "gguf"}, []),
        ({"search": "llama"}, [LLAMA, SCOUT]),
        ({"search": "LLAMA 70b"}, [LLAMA]),
        ({"author": "Meta-Llama"}, [LLAMA, SCOUT]),
        ({"author": "meta"}, []),
        ({"sort": "created_at"}, [LLAMA, SCOUT, SMALL, COLD]),
        ({"sort": "last_modified"}, [LLAMA, SCOUT, SMALL, COLD]),
        ({"sort": "trending_score"}, [SMALL, LLAMA, SCOUT, COLD]),
        ({"sort": "downloads", "limit": 2}, [SMALL, LLAMA]),
        ({"limit": 3, "inference": "warm"}, [SMALL, LLAMA, SCOUT]),
    ],
)
async def test_models_are_chosen_as_on_the_hub(url: str, asked: dict[str, Any], found: list[str]):
    assert await listed(url, **asked) == found


async def test_pages_follow_each_other_by_their_links(url: str, backend: Echo, ask: Ask):
    backend.cards = [card(f"o/m-{index:04}", groq="live") for index in range(1234)]
    every = await listed(url, inference_provider="all", pipeline_tag=TEXT)
    assert every == [one.id for one in backend.cards]
    assert await listed(url, inference_provider="all", limit=1100) == every[:1100]
    path = "/api/models?inference_provider=all&limit=500&expand=inference&expand=tags"
    sizes: list[int] = []
    while path:
        said = await ask(path=path)
        sizes.append(len(said.json))
        assert set(said.json[0]) == {"_id", "id", "modelId", "inference", "tags"}
        link = said.headers.get("Link", "")
        assert not link or (link.startswith(f"<{url}/api/models?") and link.endswith('>; rel="next"'))
        path = link.removeprefix(f"<{url}").partition(">")[0]
    assert sizes == [500, 500, 234]


async def test_pages_may_be_skipped_to(ask: Ask):
    assert [one["id"] for one in (await ask(path="/api/models?skip=2&limit=1")).json] == [SCOUT]
    assert (await ask(path="/api/models?skip=99")).json == []
    assert (await ask(path="/api/models?direction=1&sort=createdAt")).json[0]["id"] == COLD
    for wrong in ("limit=x", "skip=-1", "limit=%F0%9D%9F%99"):
        said = await ask(path=f"/api/models?{wrong}")
        assert (said.status, said.json["error"]) == (400, f"{wrong.partition('=')[0]} is a whole number")


async def test_a_link_is_spoken_as_the_client_speaks(ask: Ask):
    said = await ask(path="/api/models?limit=1", X_Forwarded_Proto="https")
    assert said.headers["Link"].startswith("<https://127.0.0.1:")


async def test_who_serves_a_model_is_told_on_the_list_and_alone(url: str):
    def work() -> tuple[Any, Any]:
        api = HfApi(endpoint=url, token=False)
        [one] = api.list_models(search="70b", expand=["inferenceProviderMapping"])
        return one, api.model_info(LLAMA, expand=["inferenceProviderMapping"])

    for info in await aside(work):
        told = {one.provider: (one.provider_id, one.status, one.task) for one in info.inference_provider_mapping}
        assert told == {
            "featherless-ai": (LLAMA, "live", "conversational"),
            "groq": (LLAMA, "error", "conversational"),
            "together": (LLAMA, "error", "conversational"),
        }
        assert info.pipeline_tag is None  # only what was asked for


async def test_the_mapping_is_a_list_on_the_list_and_an_object_alone(ask: Ask):
    for query in ("expand=inferenceProviderMapping", "expand[]=inferenceProviderMapping"):
        [one] = (await ask(path=f"/api/models?search=scout&{query}")).json
        entry = {"providerId": SCOUT, "hfModelId": SCOUT, "status": "live", "task": "conversational"}
        entry |= {"isModelAuthor": False}
        assert one["inferenceProviderMapping"] == [{"provider": "fireworks-ai", **entry}]
        alone = (await ask(path=f"/api/models/{SCOUT}?{query}")).json
        assert alone["inferenceProviderMapping"] == {"fireworks-ai": entry}


async def test_a_model_by_itself(url: str, ask: Ask):
    info = await aside(lambda: HfApi(endpoint=url, token=False).model_info(SCOUT))
    assert (info.id, info.author, info.pipeline_tag, info.inference) == (SCOUT, "meta-llama", SIGHT, "warm")
    assert (info.private, info.gated, info.siblings) == (False, False, [])
    assert info.created_at.timestamp() == 1_710_000_000
    cold = await aside(lambda: HfApi(endpoint=url, token=False).model_info(COLD, expand=["inference"]))
    assert (cold.inference, cold.created_at) == (None, None)
    for path in (
        f"/api/models/{LLAMA}/revision/main",
        "/api/models/small",
        "/api/models/o%2Fsmall",
        "/api/models/o/small/",
    ):
        assert (await ask(path=path)).status == 200
    assert len({(await ask(path=f"/api/models/{name}")).json["_id"] for name in (SMALL, LLAMA)}) == 2


async def test_a_model_that_is_not_here_is_told_in_the_hubs_own_way(url: str, ask: Ask):
    with pytest.raises(RepositoryNotFoundError, match="no model 'o/none' here"):
        await aside(lambda: HfApi(endpoint=url, token=False).model_info("o/none"))
    said = await ask(path="/api/models/o/no%0Ane")
    assert (said.status, said.headers["X-Error-Code"]) == (404, "RepoNotFound")
    assert isinstance(said.json["error"], str)


@pytest.mark.parametrize(
    "path",
    [
        "/api/agent-harnesses",
        "/api/datasets",
        "/api/whoami-v2",
        "/api/models/o/small/tree/main",
        "/api",
        "/api/tasks/x",
    ],
)
async def test_everything_else_is_404_with_a_body_of_json(ask: Ask, path: str):
    said = await ask(path=path)
    assert (said.status, said.headers["Content-Type"].partition(";")[0]) == (404, "application/json")
    assert said.json["error"]


async def test_it_is_read_only(ask: Ask):
    assert (await ask({}, path="/api/models")).status == 405


async def test_tasks_name_the_models_to_begin_with(ask: Ask):
    tasks = (await ask(path="/api/tasks")).json
    assert tasks["conversational"]["widgetModels"] == [SMALL]
    assert [one["id"] for one in tasks[TEXT]["models"]] == [SMALL, LLAMA, SCOUT]
    assert [one["id"] for one in tasks[SIGHT]["models"]] == [SCOUT]


async def test_a_backend_without_providers_serves_its_models_itself(url: str, backend: Echo):
    backend.cards = [ModelCard(id="test/echo", created=1, owned_by="t")]
    assert await listed(url, inference="warm", inference_provider="all") == ["test/echo"]
    info = await aside(lambda: HfApi(endpoint=url).model_info("test/echo", expand=["inferenceProviderMapping"]))
    assert [one.provider for one in info.inference_provider_mapping] == ["local"]


@pytest.fixture
async def endpoint(backend: Echo, config: Config, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[str, None]:
    """A server that huggingface_hub takes for its own two, as it does with ``HF_ENDPOINT`` set when it is imported."""
    async with running(backend, config, routes={"featherless-ai": "/v1/chat/completions"}) as url:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr("huggingface_hub.constants.INFERENCE_PROXY_TEMPLATE", f"{url}/{{provider}}")
        yield url


async def test_the_inference_client_finds_the_provider_of_a_model(endpoint: str, backend: Echo):
    def work() -> str:
        client = InferenceClient(provider="featherless-ai", api_key="hf_x", timeout=5)
        whole = client.chat.completions.create(model=LLAMA, messages=[{"role": "user", "content": "one two"}])
        with pytest.raises(ValueError, match="not supported by provider"):
            InferenceClient(provider="fireworks-ai", api_key="hf_x").chat_completion([], model=LLAMA)
        return whole.choices[0].message.content or ""

    assert await aside(work) == "one two"
    assert backend.requests[0].caller.provider == "featherless-ai"
    assert backend.requests[0].model == LLAMA


async def test_without_a_model_the_client_takes_the_one_of_the_task(endpoint: str):
    assert await aside(lambda: hf_inference._fetch_recommended_models()["conversational"]) == SMALL
    await aside(lambda: hf_inference._check_supported_task(SCOUT, "conversational"))
