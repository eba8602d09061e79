"""A scene becomes pixels, and a map of what lies where (the teacher of the vision tower).

Drawn at twice the size and halved, so that edges are smooth. The same scene gives the same pixels with the
versions in requirements.txt: FreeType comes with Pillow.
"""

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from . import data

PATCH = 8
GRID = data.SIDE // PATCH
ALONG = np.linspace(-0.7, 0.7, data.SIDE, dtype=np.float32)
GLYPHS = data.LETTERS + data.DIGITS
FONTS = Path(os.environ.get("SIGHT_FONTS", "/"))
"""Where the packages of fonts.txt are unpacked, or / where they are installed."""


def draw(scene: data.Scene) -> tuple[np.ndarray, np.ndarray]:
    """The picture, uint8 [SIDE, SIDE, 3], and the map, int8 [4, GRID, GRID]: glyph, place in its line, shape and
    colour under the middle of each patch; 0 is nothing, otherwise one more than the index."""
    truth = np.zeros((4, GRID, GRID), np.int8)
    picture = _ground(scene.texture)
    pen = ImageDraw.Draw(picture)
    for thing in scene.things:
        if thing.font:
            _text(picture, thing, truth)
        else:
            _shape(pen, thing, truth)
    picture = picture.reduce(2)
    blur = float(scene.texture["blur"])  # type: ignore[arg-type]
    if blur:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(picture).astype(np.float32)
    noise = float(scene.texture["noise"])  # type: ignore[arg-type]
    if noise:
        rough = np.random.Generator(np.random.PCG64(int(scene.texture["seed"]) + 1))  # type: ignore[call-overload]
        pixels += noise * rough.standard_normal(pixels.shape, np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8), truth


def _ground(texture: dict[str, Any]) -> Image.Image:
    rough = np.random.Generator(np.random.PCG64(texture["seed"]))
    turn = math.radians(texture["angle"])
    slope = np.clip(ALONG[None] * math.cos(turn) + ALONG[:, None] * math.sin(turn) + 0.5, 0, 1)[..., None]
    one, other = (np.array(end, np.float32) for end in texture["ends"])
    pixels = other + (one - other) * slope
    if texture["mottle"]:
        cells = int(rough.integers(3, 14))
        blobs = Image.fromarray(rough.uniform(0, 255, (cells, cells, 3)).astype(np.uint8))
        mottle = np.asarray(blobs.resize((data.SIDE, data.SIDE), Image.Resampling.BICUBIC)).astype(np.float32)
        pixels += (mottle - 127.5) * np.float32(texture["mottle"] / 127.5)
    side = 2 * data.SIDE
    ground = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    picture = ground.resize((side, side), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    for _ in range(texture["strays"]):
        ends = [float(at) for at in rough.uniform(0, side, 4)]
        grey = int(np.clip(one.mean() + rough.choice((-1, 1)) * rough.uniform(15, 45), 0, 255))
        pen.line(ends, fill=(grey, grey, grey), width=int(rough.integers(1, 3)))
    return picture


def _mark(truth: np.ndarray, rows: tuple[int, ...], values: tuple[int, ...], box: tuple[float, ...]) -> None:
    """Write values into the maps `rows` at the patches whose middle is in the box, or at the nearest one."""
    left, top, right, bottom = box
    across = _cells(left, right)
    down = _cells(top, bottom)
    for row, value in zip(rows, values, strict=True):
        truth[row, down, across] = value


def _cells(low: float, high: float) -> slice:
    first, last = math.ceil(low / PATCH - 0.5), math.floor(high / PATCH - 0.5)
    if first > last:
        first = last = int((low + high) / 2 / PATCH)
    return slice(min(max(first, 0), GRID - 1), min(max(last, 0), GRID - 1) + 1)


@lru_cache(4096)
def _face(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / path), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(1024)
def _tall(path: str) -> float:
    """How high a capital is, as a share of the font's size."""
    top, bottom = _face(path, 100).getbbox("H")[1::2]
    return max(0.3, (bottom - top) / 100)


def _text(picture: Image.Image, thing: data.Thing, truth: np.ndarray) -> None:
    size = round(2 * thing.size / _tall(thing.font))
    face = _face(thing.font, size)
    long = face.getlength(thing.name)
    if long > 2 * thing.room:
        size = int(size * 2 * thing.room / long)
        face = _face(thing.font, size)
        long = face.getlength(thing.name)
    left, top, right, bottom = face.getbbox(thing.name)
    wide, high = right - left, bottom - top
    mask = Image.new("L", (int(wide) + 8, int(high) + 8), 0)
    ImageDraw.Draw(mask).text((4 - left, 4 - top), thing.name, fill=255, font=face)
    if thing.angle:
        mask = mask.rotate(thing.angle, Image.Resampling.BICUBIC, expand=True)
    side = 2 * data.SIDE
    x = int(max(0, side - mask.width) * thing.x)
    y = int(min(max(2 * thing.y - mask.height / 2, 0), max(0, side - mask.height)))
    picture.paste(thing.rgb, (x, y), mask)
    middle = (x + mask.width / 2, y + mask.height / 2)
    colour = list(data.COLOURS).index(thing.colour) + 1
    turn = math.radians(-thing.angle)
    for place, glyph in enumerate(thing.name):
        start, end = face.getlength(thing.name[:place]), face.getlength(thing.name[: place + 1])
        across = (start + end) / 2 - left - wide / 2
        cx, cy = middle[0] + across * math.cos(turn), middle[1] + across * math.sin(turn)
        half = (end - start) / 2
        box = ((cx - half) / 2, (cy - high / 2) / 2, (cx + half) / 2, (cy + high / 2) / 2)
        _mark(truth, (0, 1, 3), (GLYPHS.index(glyph) + 1, place + 1, colour), box)


def _shape(pen: ImageDraw.ImageDraw, thing: data.Thing, truth: np.ndarray) -> None:
    x, y, half = 2 * thing.x, 2 * thing.y, thing.size
    if thing.name == "circle":
        pen.ellipse((x - half, y - half, x + half, y + half), fill=thing.rgb)
    elif thing.name == "ring":
        pen.ellipse((x - half, y - half, x + half, y + half), outline=thing.rgb, width=max(4, round(half * 0.36)))
    else:
        turn = math.radians(thing.angle)
        cos, sin = math.cos(turn), math.sin(turn)
        points = [(x + half * (a * cos - b * sin), y + half * (a * sin + b * cos)) for a, b in OUTLINES[thing.name]]
        pen.polygon(points, fill=thing.rgb)
    reach = thing.size * 0.42
    box = (thing.x - reach, thing.y - reach, thing.x + reach, thing.y + reach)
    _mark(truth, (2, 3), (data.SHAPES.index(thing.name) + 1, list(data.COLOURS).index(thing.colour) + 1), box)


def _star() -> list[tuple[float, float]]:
    turns = [math.pi * (k / 5 - 0.5) for k in range(10)]
    return [
        ((0.44 if k % 2 else 1.06) * math.cos(t), (0.44 if k % 2 else 1.06) * math.sin(t)) for k, t in enumerate(turns)
    ]


def _heart() -> list[tuple[float, float]]:
    turns = [2 * math.pi * k / 40 for k in range(40)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
        )
        for t in turns
    ]


def _cross() -> list[tuple[float, float]]:
    arm = 0.36
    corner = [(arm, -1.0), (arm, -arm), (1.0, -arm), (1.0, arm), (arm, arm), (arm, 1.0)]
    return corner + [(-a, -b) for a, b in corner]


OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "diamond": [(0, -1.08), (0.78, 0), (0, 1.08), (-0.78, 0)],
    "triangle": [(0, -0.98), (1.0, 0.82), (-1.0, 0.82)],
    "star": _star(),
    "heart": _heart(),
    "cross": _cross(),
}
