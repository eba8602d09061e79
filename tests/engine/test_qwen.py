"""How Qwen2.5-VL's pictures are brought to a size, and which of their tokens see each other."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seeing_qwen
from tertulia.engine.qwen import Qwen, read
from tertulia.errors import StoreError

VISION = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "fullatt_block_indexes": [7, 15, 23, 31]}
SEVEN = read(
    {"image_token_id": 151655, "vision_config": VISION},
    {"min_pixels": 3136, "max_pixels": 12845056},
)
"""What the published model of 7 billion parameters says of itself."""
TINY = read(seeing_qwen.config(seeing_qwen.PUBLISHED, 576), seeing_qwen.images(seeing_qwen.PUBLISHED))
SIDES = st.integers(1, 8000)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (28, 28, 2, 2),
        (1, 1, 2, 2),
        (480, 640, 17, 23),
        (1000, 1000, 36, 36),
        (2000, 3000, 71, 107),
        (100, 20000, 4, 714),
        (9000, 6000, 156, 104),
        (42, 42, 2, 2),
        (70, 70, 2, 2),
    ],
)
def test_a_picture_comes_to_so_many_tokens(height: int, width: int, rows: int, columns: int) -> None:
    """As transformers' own function has it, which rounds halves to even numbers."""
    assert SEVEN.layout(height, width) == (rows, columns)


@given(SIDES, SIDES, st.integers(200, 20000))
def test_no_picture_takes_more_tokens_than_it_may(height: int, width: int, tokens: int) -> None:
    height, width = max(height, -(-width // 200)), max(width, -(-height // 200))  # what is thinner is refused
    rows, columns = SEVEN.bounded(tokens).layout(height, width)
    assert 4 <= rows * columns <= min(tokens, 16384)


@given(SIDES, SIDES)
def test_a_picture_keeps_its_proportions(height: int, width: int) -> None:
    rows, columns = SEVEN.bounded(1280).layout(height, width)
    if min(rows, columns) > 2:
        assert 0.6 < (rows / columns) / (height / width) < 1.6


def test_a_bound_never_makes_a_picture_larger() -> None:
    assert SEVEN.bounded(1 << 20) == SEVEN
    small = SEVEN.bounded(2)
    assert small.least == small.most == 2 * 28**2


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([TINY, SEVEN]))
def test_each_window_is_a_square_of_neighbours_and_each_token_in_one(rows: int, columns: int, vision: Qwen) -> None:
    order, sizes = vision.windows(rows, columns)
    assert sorted(order) == list(range(rows * columns))
    assert sum(sizes) == len(order)
    for window in np.split(order, np.cumsum(sizes)[:-1]):
        down, across = np.divmod(window, columns)
        assert len({*(down // vision.window)}) == len({*(across // vision.window)}) == 1
        assert list(window) == sorted(window)
    assert len(sizes) == -(-rows // vision.window) * -(-columns // vision.window)


def test_a_picture_has_its_places_in_space() -> None:
    assert SEVEN.spots(2, 3).tolist() == [[0] * 6, [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]


def test_settings_that_are_left_out_are_those_of_the_library() -> None:
    bare = read({"vision_config": {}}, {})
    assert (bare.token, bare.patch, bare.merge, bare.window, bare.frames) == (151655, 14, 2, 4, 2)
    assert (bare.least, bare.most, bare.filter) == (4 * 28**2, 1280 * 28**2, 3)
    assert bare.full == {7, 15, 23, 31}


@pytest.mark.parametrize(
    "bounds",
    [
        {"min_pixels": 1000, "max_pixels": 2000},
        {"size": {"shortest_edge": 1000, "longest_edge": 2000}},
        {"size": {"min_pixels": 1000, "max_pixels": 2000}},
        {"min_pixels": 1000, "max_pixels": 2000, "size": {"shortest_edge": 1, "longest_edge": 3}},
    ],
)
def test_the_bounds_of_a_picture_are_read_in_each_of_their_spellings(bounds: dict[str, Any]) -> None:
    found = read({"vision_config": {}}, bounds)
    assert (found.least, found.most) == (1000, 2000)


def test_a_tower_of_another_kind_is_refused() -> None:
    with pytest.raises(StoreError, match="'gelu'"):
        read({"vision_config": {"hidden_act": "gelu"}}, {})
