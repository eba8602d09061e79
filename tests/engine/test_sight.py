"""Pictures in prompts, against what transformers makes of the same tiny models (tools/tiny_vision.py)."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import seeing
from asking import Start, picturing, stream
from tertulia.engine.batch import BLOCK, Batch
from tertulia.engine.checkpoint import Checkpoint, open_checkpoint
from tertulia.engine.eye import Eye, open_eye
from tertulia.engine.model import Model
from tertulia.engine.qwen import Qwen
from tertulia.engine.view import View, positions
from tertulia.engine.vision import Vision

DATA = Path(__file__).parents[1] / "data" / "sight"
RECORDED: dict[str, Any] = {name: json.loads((DATA / f"{name}.json").read_text()) for name in seeing.TEMPLATES}
CASES = [(name, case["name"]) for name, told in RECORDED.items() for case in told["cases"]]


def recorded(name: str, case: str) -> dict[str, Any]:
    return next(found for found in RECORDED[name]["cases"] if found["name"] == case)


@pytest.fixture(scope="module", params=seeing.TEMPLATES)
def eye(request: pytest.FixtureRequest, folder: Callable[[str], Path]) -> Iterator[tuple[str, Checkpoint, Eye, Model]]:
    """A tiny model that sees, without rounding."""
    checkpoint = open_checkpoint(folder(request.param), "f32")
    assert checkpoint.vision
    tower = open_eye(checkpoint.vision, checkpoint.weight, 2)
    yield request.param, checkpoint, tower, Model(checkpoint, kv=32 << 20, threads=2, rounding=False)


def finish(tower: Eye, tiles: np.ndarray) -> np.ndarray:
    work = tower.see(tiles)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def read(model: Model, ids: list[int], views: list[View], kept: int) -> np.ndarray:
    """The logits after the last tokens of a prompt that is read in one pass."""
    count = len(ids)
    spread = positions(count, views)
    batch = Batch(
        tokens=np.array(ids, np.int64),
        positions=np.arange(count, dtype=np.int64) if spread is None else spread,
        past=np.zeros(1, np.int32),
        begins=np.array([0, count], np.int32),
        blocks=np.arange(-(-count // BLOCK), dtype=np.int32),
        block_begins=np.array([0, -(-count // BLOCK)], np.int32),
        sampled=np.arange(count - kept, count, dtype=np.int64),
        longest=count,
    )
    if views:
        batch.places = np.concatenate([view.places for view in views])
        batch.seen = np.concatenate([view.rows for view in views if view.rows is not None])
    return model.forward(batch).copy()


def given(vision: Vision, part: list[Any]) -> np.ndarray:
    """What a tower of transformers is given of a picture: tiles, or patches with each frame beside the other."""
    tiles = vision.cut(seeing.picture(*part))
    if not isinstance(vision, Qwen):
        return np.stack([vision.colours.normal(tile).transpose(2, 0, 1) for tile in tiles])
    cells = vision.cells(tiles).reshape(-1, 3, 1, vision.patch**2)
    return cells.repeat(vision.frames, 2).reshape(len(cells), -1)


@pytest.mark.parametrize("name", seeing.TEMPLATES)
async def test_a_prompt_with_pictures_is_the_recorded_one(start: Start, name: str) -> None:
    engine = await start(name)
    for case in RECORDED[name]["cases"]:
        plan = await engine._asker.plan(picturing(case["messages"]), 0)
        assert plan.prompt.ids == case["ids"], case["name"]


@pytest.mark.parametrize("name", seeing.TEMPLATES)
async def test_the_usage_counts_the_tokens_of_the_recorded_prompts(start: Start, name: str) -> None:
    engine = await start(name)
    for case in RECORDED[name]["cases"]:
        asked = picturing(case["messages"], max_tokens=1)
        (*_, last) = await stream(engine, asked)
        assert last.usage
        counts = (last.usage.prompt_tokens, await engine.count(asked))
        assert counts == (len(case["ids"]), len(case["ids"])), case["name"]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_picture_is_cut_up_as_recorded(folder: Callable[[str], Path], name: str, case: str) -> None:
    vision = open_checkpoint(folder(name)).vision
    assert vision
    told = recorded(name, case)
    shown = [part for message in told["messages"] for part in message["content"] if not isinstance(part, str)]
    hashes = [hashlib.sha256(np.ascontiguousarray(given(vision, part)).tobytes()).hexdigest() for part in shown]
    assert hashes == told["tiles"]


async def test_logits_are_the_recorded_ones(start: Start, eye: tuple[str, Checkpoint, Eye, Model]) -> None:
    name, _, tower, model = eye
    engine = await start(name, weights="f32")
    expected = load_file(DATA / f"{name}.safetensors")
    off: dict[str, float] = {}
    for case in RECORDED[name]["cases"]:
        plan = await engine._asker.plan(picturing(case["messages"]), 0)
        for view in plan.prompt.views:
            assert view.tiles is not None
            view.rows = finish(tower, view.tiles)
        wanted = expected[case["name"]]
        got = read(model, plan.prompt.ids, plan.prompt.views, len(wanted))
        off[case["name"]] = float(np.abs(got - wanted).max())
    assert max(off.values()) <= 0.02, off


async def test_what_a_picture_shows_decides_the_logits(start: Start, eye: tuple[str, Checkpoint, Eye, Model]) -> None:
    name, _, tower, model = eye
    engine = await start(name)

    async def ends(picture: str) -> np.ndarray:
        plan = await engine._asker.plan(picturing([{"role": "user", "content": [[picture, 64, 64], "What?"]}]), 0)
        for view in plan.prompt.views:
            assert view.tiles is not None
            view.rows = finish(tower, view.tiles)
        return read(model, plan.prompt.ids, plan.prompt.views, 1)

    assert np.abs(await ends("a") - await ends("b")).max() > 1
