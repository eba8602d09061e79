from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from tertulia import config
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.engine import Engine
from tertulia.engine.model import BLOCK, Batch, Model

MEBI = 1 << 20


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, written when it is first asked for."""
    root = tmp_path_factory.mktemp("tiny")

    @cache
    def write(name: str) -> Path:
        tiny.write(name, root / name)
        return root / name

    return write


@pytest.fixture(scope="session")
def model(folder: Callable[[str], Path]) -> Callable[..., Model]:
    """A tiny model: with float weights and no rounding, or as it is served by default."""

    @cache
    def load(name: str, rounding: bool = True) -> Model:
        checkpoint = open_checkpoint(folder(name), "int8" if rounding else "f32")
        return Model(checkpoint, kv=8 * MEBI, threads=2, rounding=rounding)

    return load


Part = tuple[Sequence[int], int, Sequence[int]]
"""Tokens, how many of their sequence came before, and the sequence's blocks."""


@pytest.fixture(scope="session")
def feed() -> Callable[..., np.ndarray]:
    """One pass over some parts: the logits after the last token of each, or after the tokens of ``rows``."""

    def forward(
        model: Model, parts: list[Part], rows: Sequence[int] | None = None, positions: Sequence[int] | None = None
    ) -> np.ndarray:
        begins = np.cumsum([0, *(len(ids) for ids, _, _ in parts)]).astype(np.int32)
        held = [list(blocks[: -(-(past + len(ids)) // BLOCK)]) for ids, past, blocks in parts]
        places = [place for ids, past, _ in parts for place in range(past, past + len(ids))]
        batch = Batch(
            tokens=np.array([token for ids, _, _ in parts for token in ids], np.int64),
            positions=np.array(places if positions is None else positions, np.int64),
            past=np.array([past for _, past, _ in parts], np.int32),
            begins=begins,
            blocks=np.array([block for blocks in held for block in blocks], np.int32),
            block_begins=np.cumsum([0, *map(len, held)]).astype(np.int32),
            sampled=np.array(begins[1:] - 1 if rows is None else rows, np.int64),
            longest=max(past + len(ids) for ids, past, _ in parts),
        )
        return model.forward(batch).copy()

    return forward


@pytest.fixture
async def start(folder: Callable[[str], Path]) -> AsyncIterator[Callable[..., Awaitable[Engine]]]:
    """Start an engine over a tiny model; it is ended with the test, and all its blocks must be back by then."""
    engines: list[Engine] = []

    async def load(name: str = "smollm2", **settings: Any) -> Engine:
        chosen = config.Engine(**({"kv": 8 * MEBI, "threads": 2} | settings))
        engine = await Engine.load(folder(name), name=f"tiny/{name}", digest="0123456789abcdef", settings=chosen)
        engines.append(engine)
        return engine

    yield load
    for engine in engines:
        await engine.aclose()
        assert engine._blocks.available == engine._blocks.count, "blocks were lost"
