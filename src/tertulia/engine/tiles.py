"""Pixels, and what of them a vision tower reads: numbers around zero, in the steps that models were trained with."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""Of a picture [height, width, 3], or of several tiles [tiles, side, side, 3]."""


@dataclass(frozen=True, slots=True)
class Colours:
    """Pixels are multiplied by ``scale``, then ``mean`` and ``deviation`` of each channel are taken out."""

    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def normal(self, pixels: Pixels) -> NDArray[np.float32]:
        """Pixels as a tower's numbers."""
        values = (pixels.astype(np.float64) * self.scale).astype(np.float32)
        return (values - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32)


def read_colours(images: dict[str, Any], mean: Any = 0.5, deviation: Any = 0.5) -> Colours:
    """What an image processor's settings say of colours; ``mean`` and ``deviation`` are what they leave out."""
    normal = images.get("do_normalize", True)
    return Colours(
        scale=images.get("rescale_factor", 1 / 255) if images.get("do_rescale", True) else 1.0,
        mean=_three(images.get("image_mean", mean)) if normal else (0.0, 0.0, 0.0),
        deviation=_three(images.get("image_std", deviation)) if normal else (1.0, 1.0, 1.0),
    )


def _three(value: Any) -> tuple[float, ...]:
    """One number is that of all channels."""
    channels = cast("list[float]", value)
    return tuple(channels) if isinstance(value, list | tuple) else (float(value),) * 3


def resized(pixels: Pixels, height: int, width: int, filtering: int) -> Pixels:
    """A picture in another size, with Pillow's filter of that number."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling(filtering)))
