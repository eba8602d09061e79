"""Scenes: what is on a picture, before anybody draws it. Pure: no fonts, no pixels, no libraries.

    scene = data.scene("train", 17)     the same scene on every machine, for ever
    scene = data.scene("heldout", 3, "count")

A scene holds things (shapes and lines of text) and a background. Three splits never meet:

    train      any pair of shape and colour, any font and any string that the others do not claim
    valid      pairs, font families and strings of its own; looked at while training
    heldout    pairs, font families and strings of its own; looked at once, by score.py

Positions and sizes are in pixels of the finished picture, SIDE wide and high.
"""

import hashlib
import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SEED = "tertulia sight 1"
SIDE = 96
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "diamond", "ring")
COLOURS = {
    "red": (214, 34, 40),
    "orange": (244, 138, 22),
    "yellow": (246, 222, 44),
    "green": (36, 156, 60),
    "blue": (38, 80, 214),
    "purple": (134, 48, 166),
    "pink": (246, 134, 184),
    "black": (20, 20, 22),
    "white": (246, 246, 246),
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
SPLITS = ("train", "valid", "heldout")
# Every shape and every colour has a pair that is held out.
HELDOUT_PAIRS = frozenset((SHAPES[(3 * i + 1) % 8], colour) for i, colour in enumerate(COLOURS))
VALID_PAIRS = frozenset((SHAPES[(3 * i + 4) % 8], colour) for i, colour in enumerate(COLOURS) if i % 2 == 0)
KINDS = ("shapes", "words", "numbers", "mixed")
CLASSES = ("colour", "shape", "count", "position", "word", "number", "describe")
ZONES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")


@dataclass(frozen=True, slots=True)
class Thing:
    """A shape, or a line of text where `font` says how it is set. (x, y) is its middle, size its height.
    Of text x is the share of the free width left of it, and room the width it must keep to."""

    name: str
    colour: str
    rgb: tuple[int, int, int]
    x: float
    y: float
    size: float
    angle: float
    font: str = ""
    room: float = 0.0

    @property
    def zone(self) -> str:
        """One of ZONES, or nothing where it lies too near a border between two."""
        across, down = _third(self.x), _third(self.y)
        return "" if across < 0 or down < 0 else ZONES[3 * down + across]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture's facts. `texture` holds: the two ends of the gradient, its angle, the seed and the strength of
    the noise, how much the ground is mottled, how many stray lines cross it, and the blur in pixels."""

    split: str
    index: int
    kind: str
    things: tuple[Thing, ...]
    texture: dict[str, object] = field(hash=False)

    @property
    def shapes(self) -> list[Thing]:
        return [thing for thing in self.things if not thing.font]

    @property
    def texts(self) -> list[Thing]:
        return [thing for thing in self.things if thing.font]


@cache
def faces(split: str) -> tuple[str, ...]:
    """The paths of a split's font files, in families so that every family is as likely as another."""
    return tuple(path for family in families()[split].values() for path in family)


@cache
def families() -> dict[str, dict[str, list[str]]]:
    """fonts.txt as split -> family -> paths below the folder of fonts."""
    found: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    for line in (Path(__file__).parent / "fonts.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            split, family, path = line.split("\t")
            found[split].setdefault(family, []).append(path)
    return found


def owner(text: str) -> str:
    """The split that may show this string. One character belongs to all: there are too few to hold any out."""
    if len(text) < 2:
        return "any"
    part = hashlib.sha256(f"{SEED}/{text}".encode()).digest()[0]
    return "heldout" if part < 26 else "valid" if part < 36 else "train"


def pairs(split: str) -> list[tuple[str, str]]:
    """The pairs of shape and colour that a split may show: the two small splits show their own and train's."""
    closed = {"train": HELDOUT_PAIRS | VALID_PAIRS, "valid": HELDOUT_PAIRS, "heldout": VALID_PAIRS}[split]
    return [(shape, colour) for shape in SHAPES for colour in COLOURS if (shape, colour) not in closed]


def own(split: str) -> list[tuple[str, str]]:
    """The pairs that only this split shows."""
    mine = {"train": frozenset(pairs("train")), "valid": VALID_PAIRS, "heldout": HELDOUT_PAIRS}[split]
    return [pair for pair in pairs(split) if pair in mine]


def scene(split: str, index: int, about: str = "") -> Scene:
    """Scene number `index` of a split. about: one of CLASSES, a scene that such a question can be asked of; or
    "dense", as much on it as goes, for the first lessons of the vision tower."""
    dice = random.Random(f"{SEED}/{split}/{about}/{index}")
    kind = _kind(dice, about)
    texture, allowed = _ground(dice)
    things: list[Thing] = []
    if kind in ("words", "numbers"):
        things = _lines(dice, split, kind, allowed, _rows(dice, about))
    elif kind == "mixed":
        things = _mix(dice, split, allowed)
    else:
        things = _shapes(dice, split, allowed, about)
    return Scene(split, index, kind, tuple(things), texture)


def _kind(dice: random.Random, about: str) -> str:
    if about == "word":
        return "words"
    if about == "number":
        return "numbers"
    if about in ("colour", "shape", "count", "position"):
        return "shapes"
    if about == "describe":
        return dice.choice(("shapes", "words", "numbers"))
    return dice.choices(KINDS, (25, 50, 15, 10) if about == "dense" else (40, 35, 10, 15))[0]


def _rows(dice: random.Random, about: str) -> int:
    weights = {"": (50, 25, 25), "dense": (20, 20, 60)}.get(about, (1, 0, 0))
    return dice.choices((1, 2, 3), weights)[0]


def _ground(dice: random.Random) -> tuple[dict[str, object], list[str]]:
    """A background and the colours that stand out from it."""
    while True:
        low, high = dice.choices(((190, 255), (0, 64), (70, 190)), (5, 3, 2))[0]
        ends: list[tuple[int, ...]] = []
        grey = dice.uniform(low, high)
        for _ in range(2):
            tint = dice.uniform(0, 34)
            ends.append(tuple(int(min(255, max(0, grey + dice.uniform(-tint, tint)))) for _ in range(3)))
        allowed = [name for name, rgb in COLOURS.items() if all(_far(rgb, end) for end in ends)]
        if len(allowed) >= 5:
            break
    texture: dict[str, object] = {
        "ends": ends,
        "angle": dice.uniform(0, 360),
        "seed": dice.randrange(1 << 30),
        "noise": dice.choice((0.0, 1.0)) * dice.uniform(2, 20),
        "mottle": dice.choice((0.0, 1.0)) * dice.uniform(4, 28),
        "strays": dice.choice((0, 0, 1, 2, 4)),
        "blur": dice.choice((0.0, 0.0, 0.4, 0.7)),
    }
    return texture, allowed


def _far(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) > 130**2


def _near(dice: random.Random, colour: str) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, part + dice.randint(-14, 14))) for part in COLOURS[colour])
    return red, green, blue


def _shapes(dice: random.Random, split: str, allowed: list[str], about: str) -> list[Thing]:
    if about in ("", "dense"):
        count = dice.choices(range(1, 7), (25, 18, 18, 16, 16, 7) if not about else (5, 5, 15, 25, 25, 25))[0]
    else:
        count = dice.randint(1, 5 if about == "count" else 3)
    mine = [pair for pair in own(split) if pair[1] in allowed]
    free = [pair for pair in pairs(split) if pair[1] in allowed]
    first = dice.choice(mine or free)
    alike = dice.random() < (0.45 if about in ("", "count") else 0.0)
    spots = _spots(dice, count)
    chosen = [first] + [first if alike else dice.choice(free) for _ in spots[1:]]
    return [
        Thing(shape, colour, _near(dice, colour), x, y, size, _tilt(dice, shape))
        for (shape, colour), (x, y, size) in zip(chosen, spots, strict=True)
    ]


def _spots(dice: random.Random, count: int) -> list[tuple[float, float, float]]:
    """Middles and sizes that do not touch: in the cells of a three by three grid, or anywhere."""
    if dice.random() < 0.5:
        spots = []
        for cell in dice.sample(range(9), count):
            x, y = 16 + 32 * (cell % 3) + dice.uniform(-5, 5), 16 + 32 * (cell // 3) + dice.uniform(-5, 5)
            spots.append((x, y, dice.uniform(18, 24)))
        return spots
    while True:
        spots = []
        for _ in range(60):
            size = dice.uniform(18, (52, 40, 34, 30, 27, 25)[count - 1])
            x, y = (dice.uniform(size / 2 + 2, SIDE - size / 2 - 2) for _ in range(2))
            if all((x - a) ** 2 + (y - b) ** 2 > (0.62 * (size + c)) ** 2 for a, b, c in spots):
                spots.append((x, y, size))
            if len(spots) == count:
                return spots


def _tilt(dice: random.Random, shape: str) -> float:
    return dice.uniform(-9, 9) if shape in ("square", "diamond", "cross") else dice.uniform(-18, 18)


def _string(dice: random.Random, split: str, kind: str) -> str:
    shortest = 1 if split == "train" else 2
    while True:
        size = dice.randint(shortest, 5)
        if kind == "words" and size > 2 and dice.random() < 0.25:
            text = _spoken(dice, size)
        else:
            text = "".join(dice.choice(DIGITS if kind == "numbers" else LETTERS) for _ in range(size))
        if owner(text) in (split, "any"):
            return text


def _spoken(dice: random.Random, size: int) -> str:
    """A string with vowels where a word would have them."""
    start = dice.randrange(2)
    return "".join(dice.choice("AEIOU" if (i + start) % 2 else "BCDFGHKLMNPRSTVW") for i in range(size))


def _lines(dice: random.Random, split: str, kind: str, allowed: list[str], rows: int, top: float = 0.0) -> list[Thing]:
    """Lines of text below each other, in the part of the picture below `top`."""
    lines = []
    high = (SIDE - top) / rows
    for row in range(rows):
        text = _string(dice, split, kind)
        size = dice.uniform(13, min(40 if rows == 1 and not top else 22, high - 5))
        y = top + high * (row + 0.5) + dice.uniform(-1, 1) * max(0.0, (high - size) / 2 - 3)
        colour = dice.choice(allowed)
        family = dice.choice(sorted(families()[split]))
        lines.append(
            Thing(
                text,
                colour,
                _near(dice, colour),
                dice.random(),
                y,
                size,
                dice.uniform(-5, 5) if dice.random() < 0.5 and rows == 1 else 0.0,
                dice.choice(families()[split][family]),
                dice.uniform(86, 92),
            )
        )
    return lines


def _mix(dice: random.Random, split: str, allowed: list[str]) -> list[Thing]:
    """A line of text with one to three shapes above or below it."""
    kind = "words" if dice.random() < 0.7 else "numbers"
    free = [pair for pair in pairs(split) if pair[1] in allowed]
    below = dice.random() < 0.5
    text = _lines(dice, split, kind, allowed, 1, 52.0 if below else 0.0)[0]
    if not below:
        text = Thing(**{**_fields(text), "y": text.size / 2 + dice.uniform(3, 14), "size": min(text.size, 26)})
    y = dice.uniform(16, 32) if below else dice.uniform(62, 78)
    things = [text]
    for cell in dice.sample(range(3), dice.randint(1, 3)):
        shape, colour = dice.choice(free)
        x = 16 + 32 * cell + dice.uniform(-3, 3)
        things.append(Thing(shape, colour, _near(dice, colour), x, y, dice.uniform(18, 27), _tilt(dice, shape)))
    return things


def _fields(thing: Thing) -> dict[str, object]:
    return {name: getattr(thing, name) for name in Thing.__slots__}


def _third(at: float) -> int:
    part, rest = divmod(at, SIDE / 3)
    edge = (rest < 3.5 and part > 0) or (rest > SIDE / 3 - 3.5 and part < 2)
    return -1 if edge else int(part)
