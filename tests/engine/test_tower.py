"""The vision tower: what its pieces come to, however they are made and whoever's come between them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seeing
from tertulia.engine import tower
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.idefics import Idefics
from tertulia.engine.tiles import Pixels
from tertulia.engine.tower import Tower

Made = Callable[[str], Tower]


@pytest.fixture
def made(folder: Callable[[str], Path]) -> Made:
    def make(name: str) -> Tower:
        checkpoint = open_checkpoint(folder(name), "f32")
        assert isinstance(checkpoint.vision, Idefics)
        return Tower(checkpoint.vision, checkpoint.weight, 2)

    return make


def tiles(made: Tower, name: str) -> Pixels:
    return made.vision.cut(seeing.picture(name, 64, 64))[:3]


def finish(made: Tower, shown: Pixels) -> tuple[np.ndarray, int]:
    """The rows of some tiles, and the pieces they took."""
    work, pieces = made.see(shown), 0
    while True:
        try:
            next(work)
            pieces += 1
        except StopIteration as end:
            return end.value, pieces


@pytest.mark.parametrize("name", ["smolvlm", "idefics3"])
def test_a_large_tile_is_seen_in_parts_as_it_is_whole(made: Made, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    one = made(name)
    whole, pieces = finish(one, tiles(one, "a"))
    monkeypatch.setattr(tower, "WHOLE", 64)
    monkeypatch.setattr(tower, "ROWS", 56)  # the last part is a shorter one
    other = made(name)
    parts, more = finish(other, tiles(other, "a"))
    assert np.abs(parts - whole).max() < 1e-4 * np.abs(whole).max()
    assert pieces == one.pieces(tiles(one, "a"))
    assert more == other.pieces(tiles(other, "a")) > pieces


@pytest.mark.parametrize("bound", [64, 256])
def test_pictures_looked_at_in_turn_are_what_they_are_alone(
    made: Made, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    monkeypatch.setattr(tower, "WHOLE", bound)
    eye = made("smolvlm")
    shown = [tiles(eye, name) for name in "abc"]
    alone = [finish(eye, one)[0] for one in shown]
    looks = {index: eye.see(one) for index, one in enumerate(shown)}
    found: dict[int, np.ndarray] = {}
    while looks:
        for index, look in list(looks.items()):
            try:
                next(look)
            except StopIteration as end:
                found[index] = end.value
                del looks[index]
    assert all(np.array_equal(found[index], rows) for index, rows in enumerate(alone))
