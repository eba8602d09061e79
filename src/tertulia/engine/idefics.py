"""How Idefics3 (Laurençon et al. 2024) and SmolVLM (Marafioti et al. 2025) see, in numbers: how pictures are cut into
tiles, and how those stand in a prompt. The two differ in nothing that is built here.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tertulia.engine.tiles import Colours, Pixels, read_colours, resized
from tertulia.errors import StoreError

LARGEST = 4096
"""Pixels that a side may have before a picture is cut up, whatever a model's settings say."""


@dataclass(frozen=True, slots=True)
class Idefics:
    """``token`` is the id that stands where a row of an embedding goes. The tower's tiles are ``side`` pixels square,
    cut into patches of ``patch``; its table of positions is ``grid`` square. ``factor`` squared patches become one row.
    A picture's longer side is brought to ``longest`` pixels (0: its own), with Pillow's filter ``filter``, and cut into
    tiles where it ``splits``.
    """

    token: int
    layers: int
    hidden: int
    heads: int
    patch: int
    side: int
    grid: int
    factor: int
    eps: float
    exact_gelu: bool
    longest: int
    splits: bool
    filter: int
    colours: Colours

    @property
    def patches(self) -> int:
        """Patches along a side of a tile."""
        return self.side // self.patch

    @property
    def rows(self) -> int:
        """Rows of the embedding that one tile gives: as many tokens of the prompt."""
        return (self.patches // self.factor) ** 2

    def prompt(self, image: str, rows: int, columns: int) -> str:
        """The text that stands for a picture of so many tiles; ``image`` is spelt once for each row of its embedding.
        Of a picture in one tile there is only the whole."""
        tile = image * self.rows
        whole = f"{_AROUND}<global-img>{tile}{_AROUND}"
        lines = (
            "".join(f"{_AROUND}<row_{row}_col_{column}>{tile}" for column in range(1, columns + 1)) + "\n"
            for row in range(1, rows + 1)
        )
        return "".join(lines) + ("\n" if rows else "") + whole

    def bounded(self, tokens: int) -> "Idefics":
        """The same where a picture may take so many tokens: as many tiles as it has are the model's own affair."""
        return self

    def spots(self, rows: int, columns: int) -> None:
        """A picture's tokens are counted as text is."""

    def cut(self, pixels: Pixels) -> Pixels:
        """The tiles [tiles, side, side, 3] of a picture [height, width, 3]: row by row, and last the whole."""
        height, width = pixels.shape[:2]
        side = self.side
        pixels = resized(pixels, *self.size(height, width), self.filter)
        rows, columns = self.layout(height, width)
        if rows:
            pixels = resized(pixels, rows * side, columns * side, self.filter)
        whole = resized(pixels, side, side, self.filter)[None]
        if not rows:
            return whole
        grid = pixels.reshape(rows, side, columns, side, 3)
        return np.concatenate([grid.swapaxes(1, 2).reshape(-1, side, side, 3), whole])

    def cells(self, tile: Pixels) -> NDArray[np.float32]:
        """The patches [patches, 3 * patch * patch] of one tile, row by row, each channel by channel."""
        count, size = self.patches, self.patch
        cells = self.colours.normal(tile).reshape(count, size, count, size, 3).transpose(0, 2, 4, 1, 3)
        return np.ascontiguousarray(cells.reshape(count * count, -1))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which a picture is brought first."""
        return _bounded(*_stretched(height, width, self.longest)) if self.longest else (height, width)

    def layout(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tiles that a picture of this size is cut into; 0 and 0 for one that is seen whole."""
        if not self.splits:
            return 0, 0
        height, width = self.tiled(*self.size(height, width))
        rows, columns = height // self.side, width // self.side
        return (0, 0) if rows == columns == 1 else (rows, columns)

    def tiled(self, height: int, width: int) -> tuple[int, int]:
        """The multiples of a tile's side that a picture already brought to its size is stretched to."""
        ratio = width / height
        if width >= height:
            width = self._up(width)
            return self._up(int(width / ratio)), width
        height = self._up(height)
        return height, self._up(int(height * ratio))

    def _up(self, length: int) -> int:
        return math.ceil(length / self.side) * self.side

    def positions(self) -> NDArray[np.intp]:
        """For each patch of a tile the row of the table of positions. Where a tile has fewer patches than the table
        they are spread over it; all in float32, whose rounding decides at the borders."""
        count, grid = self.patches, self.grid
        borders = np.array([(place + 1) / grid for place in range(grid - 1)], np.float32)
        step = np.float32(1) / np.float32(count)
        places = np.minimum(np.arange(count, dtype=np.float32) * step, np.float32(1 - 1e-6))
        buckets = np.searchsorted(borders, places, side="right")
        return (buckets[:, None] * grid + buckets[None, :]).reshape(-1)


_AROUND = "<fake_token_around_image>"


def _stretched(height: int, width: int, longest: int) -> tuple[int, int]:
    """The longer side at ``longest``, the other one in proportion and even."""
    ratio = width / height
    if width >= height:
        width, height = longest, int(longest / ratio)
        height += height % 2
    else:
        height, width = longest, int(longest * ratio)
        width += width % 2
    return max(height, 1), max(width, 1)


def _bounded(height: int, width: int) -> tuple[int, int]:
    ratio = width / height
    if width >= height and width > LARGEST:
        width, height = LARGEST, int(LARGEST / ratio)
    elif height > width and height > LARGEST:
        height, width = LARGEST, int(LARGEST * ratio)
    return max(height, 1), max(width, 1)


def read(config: dict[str, Any], images: dict[str, Any]) -> Idefics:
    """What a model's config.json and its image processor's settings say; both leave out what is their library's
    default. Raises StoreError for what is not built here."""
    tower: dict[str, Any] = config["vision_config"]
    activation = tower.get("hidden_act", "gelu_pytorch_tanh")
    if activation not in ("gelu_pytorch_tanh", "gelu"):
        raise StoreError(f"vision towers with the activation '{activation}' are not built here")
    patch, table = tower.get("patch_size", 32), tower.get("image_size", 224)
    side = _edge(images.get("max_image_size"), 364)
    factor = config.get("scale_factor", 2)
    if side % (patch * factor):
        raise StoreError(f"tiles of {side} pixels can't be cut into groups of {factor} patches of {patch}")
    return Idefics(
        token=config.get("image_token_id", 128257),
        layers=tower.get("num_hidden_layers", 12),
        hidden=tower.get("hidden_size", 1152),
        heads=tower.get("num_attention_heads", 16),
        patch=patch,
        side=side,
        grid=table // patch,
        factor=factor,
        eps=tower.get("layer_norm_eps", 1e-6),
        exact_gelu=activation == "gelu",
        longest=_edge(images.get("size"), 1456) if images.get("do_resize", True) else 0,
        splits=images.get("do_image_splitting", True),
        filter=images.get("resample", 1),
        colours=read_colours(images),
    )


def _edge(size: Any, default: int) -> int:
    """A size is an object with its longest edge; older settings have the number alone."""
    if isinstance(size, dict):
        return cast("dict[str, int]", size).get("longest_edge", default)
    return size or default
