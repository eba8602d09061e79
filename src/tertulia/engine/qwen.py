"""How Qwen2.5-VL (Bai et al. 2025) sees, in numbers: pictures of any size, and how they stand in a prompt."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tertulia.engine.tiles import Colours, Pixels, read_colours, resized
from tertulia.errors import StoreError

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the channels of CLIP's pictures (Radford et al. 2021)."""


@dataclass(frozen=True, slots=True)
class Qwen:
    """``merge`` squared patches of ``patch`` pixels become one row of the embedding, for which one ``token`` stands in
    the prompt. A picture is brought to ``least`` to ``most`` pixels, with Pillow's filter ``filter``. The layers in
    ``full`` see all of it, the others windows of ``window`` squared rows; ``theta`` is the base of their rotary
    embedding. ``frames`` make one moment for the model: of a picture all are the same.
    """

    token: int
    layers: int
    full: frozenset[int]
    hidden: int
    heads: int
    patch: int
    merge: int
    frames: int
    window: int
    theta: float
    least: int
    most: int
    filter: int
    colours: Colours

    @property
    def step(self) -> int:
        """Pixels along a side of what one row of the embedding is made of."""
        return self.patch * self.merge

    def bounded(self, tokens: int) -> "Qwen":
        """The same where a picture may take so many tokens, 200 or more: a larger one is scaled down."""
        most = min(self.most, tokens * self.step**2)
        return replace(self, most=most, least=min(self.least, most))

    def layout(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for a picture of this size, in its proportions as far as may be. One that is 200
        times longer than wide, and no more, keeps to the bounds."""
        step = self.step
        rows, columns = round(height / step), round(width / step)
        if rows * columns * step**2 > self.most:
            ratio = math.sqrt(height * width / self.most)
            rows, columns = (max(1, math.floor(side / ratio / step)) for side in (height, width))
        elif rows * columns * step**2 < self.least:
            ratio = math.sqrt(self.least / (height * width))
            rows, columns = (math.ceil(side * ratio / step) for side in (height, width))
        return rows, columns

    def prompt(self, image: str, rows: int, columns: int) -> str:
        """The text that stands for a picture; the template has put its frame around it."""
        return image * (rows * columns)

    def spots(self, rows: int, columns: int) -> NDArray[np.int64]:
        """Where a picture's tokens are: in time, down and across."""
        return np.stack([np.zeros(rows * columns, np.int64), *np.indices((rows, columns)).reshape(2, -1)])

    def cut(self, pixels: Pixels) -> Pixels:
        """A picture [height, width, 3] brought to its size."""
        rows, columns = self.layout(*pixels.shape[:2])
        return resized(pixels, rows * self.step, columns * self.step, self.filter)

    def cells(self, pixels: Pixels) -> NDArray[np.float32]:
        """The patches [tokens, merge * merge, 3 * patch * patch] of a picture that was brought to its size, token by
        token, each channel by channel."""
        size, merge, step = self.patch, self.merge, self.step
        rows, columns = pixels.shape[0] // step, pixels.shape[1] // step
        cells = self.colours.normal(pixels).reshape(rows, merge, size, columns, merge, size, 3)
        return np.ascontiguousarray(cells.transpose(0, 3, 1, 4, 6, 2, 5)).reshape(rows * columns, merge**2, -1)

    def windows(self, rows: int, columns: int) -> tuple[NDArray[np.intp], list[int]]:
        """In which order the tokens of a picture are computed, window after window, and how many each window has:
        those at the right and at the lower edge may have fewer."""
        down, across = np.indices((rows, columns)).reshape(2, -1)
        order = np.lexsort((across, down, across // self.window, down // self.window))
        tall, wide = (
            [min(self.window, side - begin) for begin in range(0, side, self.window)] for side in (rows, columns)
        )
        return order, [height * width for height in tall for width in wide]


def read(config: dict[str, Any], images: dict[str, Any]) -> Qwen:
    """What a model's config.json and its image processor's settings say; both leave out what is their library's
    default. Raises StoreError for what is not built here."""
    tower: dict[str, Any] = config["vision_config"]
    rope: dict[str, Any] = tower.get("rope_parameters") or {}
    activation = tower.get("hidden_act", "silu")
    if activation != "silu":
        raise StoreError(f"vision towers of this family with the activation '{activation}' are not built here")
    patch, merge, layers = tower.get("patch_size", 14), tower.get("spatial_merge_size", 2), tower.get("depth", 32)
    size: dict[str, Any] = images.get("size") or {}
    return Qwen(
        token=config.get("image_token_id", 151655),
        layers=layers,
        full=frozenset(tower.get("fullatt_block_indexes", (7, 15, 23, 31))) & frozenset(range(layers)),
        hidden=tower.get("hidden_size", 3584),
        heads=tower.get("num_heads", 16),
        patch=patch,
        merge=merge,
        frames=tower.get("temporal_patch_size", 2),
        window=tower.get("window_size", 112) // merge // patch,
        theta=float(rope.get("rope_theta", 10000)),
        least=images.get("min_pixels") or size.get("shortest_edge") or size.get("min_pixels", 56**2),
        most=images.get("max_pixels") or size.get("longest_edge") or size.get("max_pixels", 1280 * 28**2),
        filter=images.get("resample", 3),
        colours=read_colours(images, MEAN, DEVIATION),
    )
