"""The models of this machine: found in the store, started when they are asked for."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tertulia.catalog.store import Installed, Store
from tertulia.errors import StoreError, UnknownModel, Upstream
from tertulia.fold import fold
from tertulia.net import Net
from tertulia.providers.child import Child
from tertulia.providers.local import Local
from tertulia.types import ChatRequest, Message

TESTS = Path(__file__).parent.parent


def install(store: Path, name: str, **said: Any) -> None:
    folder = store / name.replace("/", "--")
    folder.mkdir(parents=True)
    facts = {"id": name, "source": "test", "sha256": "0" * 64, "bytes": 1, "format": "gguf", "quantization": "Q4_0"}
    more: dict[str, Any] = {"architecture": "llama", "context": 64, "template": "gguf", "tokenizer": "gguf"}
    (folder / "manifest.json").write_text(json.dumps(facts | more | {"created": 7, "files": []} | said))


@pytest.fixture
async def local(tmp_path: Path) -> AsyncGenerator[Callable[..., Local]]:
    """A Local over a store of two models, whose engines only echo."""
    for name in ("test/echo", "other/echo-2"):
        install(tmp_path, name)
    made: list[Local] = []
    async with Net() as net:

        def child(model: Installed) -> Child:
            return Child(net, [sys.executable, "-m", "echo"], name=model.id, env={"PYTHONPATH": str(TESTS)})

        def make(*ids: str, fits: Callable[[Installed], None] = lambda _: None) -> Local:
            made.append(Local(Store(tmp_path), ids, child, fits))
            return made[-1]

        yield make
        for one in made:
            await one.stop()


async def say(local: Local, model: str | None, text: str = "hello there") -> str | None:
    request = ChatRequest(messages=[Message(role="user", content=text)], model=model)
    return fold([chunk async for chunk in local.chat(request)]).choices[0].message.content


async def test_the_first_named_is_the_default_and_others_are_started_when_asked_for(
    local: Callable[..., Local],
) -> None:
    models = local("other/echo-2")
    models.start()
    assert [(card.id, card.status) for card in models.models()] == [
        ("other/echo-2", "loading"),
        ("test/echo", "installed"),
    ]
    assert await say(models, None) == "hello there"
    assert models.ready
    assert await say(models, "test/echo") == "hello there"
    assert {card.status for card in models.models()} == {"ready"}


async def test_a_loaded_model_that_is_removed_goes_on_answering_as_the_default(
    local: Callable[..., Local], tmp_path: Path
) -> None:
    models = local("test/echo")
    models.start()
    shutil.rmtree(tmp_path / "test--echo")
    assert [card.id for card in models.models()] == ["test/echo", "other/echo-2"]
    assert await say(models, "test/echo") == "hello there"


async def test_the_list_costs_a_look_at_the_folder_and_is_the_same_until_something_changes(
    local: Callable[..., Local], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = local("test/echo")
    read = 0
    listing = Store.list

    def count(store: Store) -> list[Installed]:
        nonlocal read
        read += 1
        return listing(store)

    monkeypatch.setattr(Store, "list", count)
    assert [card.status for card in models.models()] == ["installed", "installed"]
    await asyncio.sleep(0.06)
    first, before = models.models(), read
    assert all(models.models() is first for _ in range(100)) and read == before
    install(tmp_path, "third/echo-3")
    assert [card.id for card in models.models()] == ["test/echo", "other/echo-2", "third/echo-3"]
    install(tmp_path, "fourth/echo-4")  # in the same tick, perhaps
    assert len(models.models()) == 4
    shutil.rmtree(tmp_path / "fourth--echo-4")
    assert len(second := models.models()) == 3
    assert second is not first and models.models() is second
    models.start()
    assert models.models()[0].status == "loading"
    assert await say(models, None) == "hello there"
    third = models.models()
    assert (third[0].status, third[0].context_length) == ("ready", 8192)
    assert models.models() is third


async def test_a_model_that_sees_says_so_before_it_is_loaded(local: Callable[..., Local], tmp_path: Path) -> None:
    install(tmp_path, "test/sees", architecture="idefics3")
    reads = {card.id: card.architecture for card in local().models()}
    assert reads["test/sees"]
    assert reads["test/sees"].input_modalities == ["text", "image"]
    assert reads["test/echo"] is None


async def test_a_model_has_one_process_however_it_is_called(local: Callable[..., Local]) -> None:
    models = local("test/echo")
    models.start()
    for name in ("test/echo", "echo", None, "test/echo"):
        assert await say(models, name) == "hello there"
    assert len(models._children) == 1  # type: ignore[attr-defined]


async def test_without_a_named_model_the_first_that_is_here_answers(
    local: Callable[..., Local], tmp_path: Path
) -> None:
    models = local()
    assert models.ready
    models.start()
    assert {card.status for card in models.models()} == {"installed"}
    assert await say(models, None) == "hello there"
    assert [card.status for card in models.models()] == ["ready", "installed"]
    for name in ("test--echo", "other--echo-2"):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(UnknownModel, match="no model is installed"):
        await say(local(), None)


async def test_what_is_not_installed_or_does_not_fit_is_said(local: Callable[..., Local]) -> None:
    def full(_: Installed) -> None:
        raise StoreError("no room")

    models = local("test/echo")
    with pytest.raises(UnknownModel, match="tertulia pull org/three"):
        await say(models, "org/three")
    with pytest.raises(Upstream, match="no room"):
        await say(local(fits=full), "other/echo-2")
    with pytest.raises(StoreError, match="no room"):
        local("other/echo-2", fits=full).start()


async def test_the_figures_of_several_engines_are_one_text(local: Callable[..., Local]) -> None:
    models = local("test/echo", "other/echo-2")
    models.start()
    for name in ("test/echo", "other/echo-2"):
        await say(models, name)
    text = await models.metrics()
    families = [family.name for family in text_string_to_metric_families(text)]
    assert families and len(families) == len(set(families))
    assert len([line for line in text.splitlines() if line.startswith("tertulia_engine_")]) == 2 * len(families)
