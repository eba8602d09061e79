"""Weights in files without a name: the same answers, with less memory that has to be there."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiny
from tertulia import build, config
from tertulia.catalog import memory
from tertulia.catalog.store import Store
from tertulia.engine import attic as module
from tertulia.engine.attic import attic
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.model import Model
from tertulia.engine.weights import Codes, quantise
from tertulia.errors import StoreError
from tertulia.types import ChatRequest, Message

Feed = Callable[..., np.ndarray]


def coded(bits: int = 8) -> Codes:
    found = quantise(np.random.default_rng(0).standard_normal((512, 512), np.float32))
    return Codes(found.codes & 15, found.zero & 15, found.scale, 4) if bits == 4 else found


def test_what_is_put_there_is_what_it_was(tmp_path: Path) -> None:
    put = attic(tmp_path)
    found = put(coded())
    assert isinstance(found, Codes) and isinstance(found.codes, np.memmap) and found.shape == (512, 512)
    np.testing.assert_array_equal(found.floats(), coded().floats())
    floats = coded().floats()
    there = put(floats[:, ::2])
    assert isinstance(there, np.memmap)
    np.testing.assert_array_equal(there, floats[:, ::2])


def test_nothing_of_it_is_seen_in_the_folder(tmp_path: Path) -> None:
    kept = attic(tmp_path)(coded())
    assert isinstance(kept, Codes) and list(tmp_path.iterdir()) == []


def test_what_gains_nothing_stays_in_memory(tmp_path: Path) -> None:
    few, four = np.ones(100, np.float32), coded(4)
    assert attic(tmp_path)(few) is few
    assert attic(tmp_path)(four) is four
    assert attic(None)(whole := coded()) is whole


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"can't be put into .*none"):
        attic(tmp_path / "none")(coded())


@pytest.mark.parametrize("kind", ["int8", "f32"])
@pytest.mark.parametrize("name", ["smollm2", "llama3.1"])
def test_the_logits_are_the_same_to_the_last_bit(
    name: str, kind: str, folder: Callable[[str], Path], feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEAST", 1)
    ids = tiny.tokens(name, 40)
    found: list[np.ndarray] = []
    for aside in (None, tmp_path):
        checkpoint = open_checkpoint(folder(name), kind)
        model = Model(checkpoint, kv=1 << 20, threads=2, rounding=kind != "f32", aside=aside)
        found.append(feed(model, [(ids, 0, range(4))], rows=range(40)))
    np.testing.assert_array_equal(*found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is mapped is read from /proc")
@pytest.mark.parametrize("short", [False, True])
async def test_a_model_that_memory_has_no_room_for_is_put_into_its_folder(
    short: bool, packed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that memory has room for is not."""
    monkeypatch.setattr(module, "_LEAST", 1)
    monkeypatch.setattr(memory, "_on_disk", lambda folder: True)
    settings = config.load(None, {"store.path": str(tmp_path), "engine.kv": "1M", "engine.threads": 2})
    model = Store(tmp_path, "http://127.0.0.1:9").pull(str(packed("smollm2", "Q8_0")), rename="a/model")
    room = memory.estimate(model, 1 << 20)
    monkeypatch.setattr(memory, "available", lambda: room - 1 if short else room)
    engine = await build.local(settings, "a/model")
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        assert short == any(str(model.folder) in line and line.endswith("(deleted)") for line in maps)
        asked = ChatRequest(messages=[Message(role="user", content="the")], max_tokens=2)
        assert [chunk async for chunk in engine.chat(asked)]
    finally:
        await engine.aclose()
