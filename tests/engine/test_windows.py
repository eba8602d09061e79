"""The tower that looks through windows: its pieces, its eight bits, and what it lacks. What it sees is checked in
test_sight.py."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seeing
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.eye import open_eye
from tertulia.engine.windows import ROWS, Windows, _grouped
from tertulia.errors import StoreError

SIZES = [(8, 8), (37, 53), (45, 88), (120, 40), (5, 400)]


@pytest.fixture(scope="module")
def towers(folder: Callable[[str], Path]) -> dict[str, Windows]:
    """A tiny tower in float32 and at eight bits."""
    made: dict[str, Windows] = {}
    for weights in ("f32", "int8"):
        checkpoint = open_checkpoint(folder(seeing.PUBLISHED), weights)
        assert checkpoint.vision
        eye = open_eye(checkpoint.vision, checkpoint.weight, 2)
        assert isinstance(eye, Windows)
        made[weights] = eye
    return made


def look(tower: Windows, height: int, width: int) -> tuple[np.ndarray, int]:
    """What is seen in a picture, and after how many pieces."""
    work, count = tower.see(tower.vision.cut(seeing.picture("a", height, width))), 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, count
        count += 1


@pytest.mark.parametrize("size", SIZES)
def test_as_many_pieces_are_made_as_were_told(towers: dict[str, Windows], size: tuple[int, int]) -> None:
    tower = towers["f32"]
    rows, made = look(tower, *size)
    assert made == tower.pieces(tower.vision.cut(seeing.picture("a", *size)))
    down, across = tower.vision.layout(*size)
    assert rows.shape == (down * across, 192)


def test_a_picture_is_seen_the_same_every_time_and_beside_another(towers: dict[str, Windows]) -> None:
    tower = towers["f32"]
    alone, _ = look(tower, 45, 88)
    one = tower.see(tower.vision.cut(seeing.picture("a", 45, 88)))
    other = tower.see(tower.vision.cut(seeing.picture("b", 60, 60)))
    seen: list[np.ndarray] = []
    while len(seen) < 2:  # pieces of both in turn
        for work in (one, other):
            try:
                next(work)
            except StopIteration as end:
                if end.value is not None:
                    seen.append(end.value)
    assert any(rows.shape == alone.shape and np.array_equal(rows, alone) for rows in seen)


def test_eight_bits_change_little(towers: dict[str, Windows]) -> None:
    for size in SIZES:
        (exact, _), (rounded, _) = (look(towers[name], *size) for name in ("f32", "int8"))
        assert 0 < np.abs(exact - rounded).mean() < 0.03 * exact.std()


def test_pieces_are_whole_windows_of_one_size_and_cover_all() -> None:
    sizes = [16, 16, 16, 8, 16, 16, 16, 8, 4, 4, 4, 2]
    parts = _grouped(sizes, 4)
    assert [part.start for part, _ in parts] == [0, *(part.stop for part, _ in parts[:-1])]
    assert parts[-1][0].stop == 4 * sum(sizes)
    assert all((part.stop - part.start) % alone == 0 and part.stop - part.start <= ROWS for part, alone in parts)
    found = [alone for part, alone in parts for _ in range((part.stop - part.start) // alone)]
    assert found == [4 * size for size in sizes]


def test_a_window_larger_than_a_piece_is_one() -> None:
    assert _grouped([64, 64], 4) == [(slice(0, 256), 256), (slice(256, 512), 256)]


def test_a_tensor_that_is_not_there_is_named(folder: Callable[[str], Path]) -> None:
    checkpoint = open_checkpoint(folder(seeing.PUBLISHED))
    assert checkpoint.vision
    with pytest.raises(StoreError, match=r"vision\.2\.gate\.bias"):
        open_eye(checkpoint.vision, lambda name: None if name == "vision.2.gate.bias" else checkpoint.weight(name))
