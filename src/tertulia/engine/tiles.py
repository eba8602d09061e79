"""A picture cut into the tiles that a vision tower takes: Pillow's resampling, in the steps that models were trained
with."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tertulia.engine.vision import Vision

Pixels = NDArray[np.uint8]


def cut(vision: Vision, pixels: Pixels) -> Pixels:
    """The tiles [tiles, side, side, 3] of a picture [height, width, 3]: row by row, and last the whole."""
    height, width = pixels.shape[:2]
    side, filtering = vision.side, Image.Resampling(vision.filter)
    image = Image.fromarray(pixels)
    image = _resized(image, vision.size(height, width), filtering)
    rows, columns = vision.layout(height, width)
    if rows:
        image = _resized(image, (rows * side, columns * side), filtering)
    whole = np.asarray(_resized(image, (side, side), filtering))[None]
    if not rows:
        return whole
    grid = np.asarray(image).reshape(rows, side, columns, side, 3)
    return np.concatenate([grid.swapaxes(1, 2).reshape(-1, side, side, 3), whole])


def _resized(image: Image.Image, size: tuple[int, int], filtering: Image.Resampling) -> Image.Image:
    height, width = size
    return image.resize((width, height), filtering)


def normal(vision: Vision, tile: Pixels) -> NDArray[np.float32]:
    """A tile's pixels as the tower's numbers."""
    values = (tile.astype(np.float64) * vision.scale).astype(np.float32)
    return (values - np.array(vision.mean, np.float32)) / np.array(vision.deviation, np.float32)


def patches(vision: Vision, tile: Pixels) -> NDArray[np.float32]:
    """The patches [patches, 3 * patch * patch] of one tile, row by row, each channel by channel."""
    count, size = vision.patches, vision.patch
    cells = normal(vision, tile).reshape(count, size, count, size, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells.reshape(count * count, -1))
