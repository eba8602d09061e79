"""Questions about pictures: asked again, several at once, and beside running answers."""

import base64
from io import BytesIO
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from bench import eye, prompts
from bench.fair import gaps
from bench.table import Row
from bench.worker import Worker

TOKENS = (16, 48)
AT_ONCE = 8
BESIDE = ((1, 1), (1, 8), (4, 1), (4, 8), (8, 1), (8, 8))
"""Running answers, and the pictures that arrive at once beside them."""
MOST = 1900
"""Tokens that a running answer may have: the model's context is 2,048."""
QUIET = 0.4
SIZE = (384, 512)

_serial = count(1)


def draw() -> str:
    """A picture that was never seen: patches of colour under noise, a JPEG of some 100 kB, as a data: URL."""
    random = np.random.default_rng(next(_serial))
    height, width = SIZE
    coarse = np.kron(random.integers(0, 256, (8, 8, 3)), np.ones((height // 8, width // 8, 1)))
    pixels = np.clip(coarse + random.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def run(folder: Path, rounds: int) -> list[Row]:
    """All of it, over ``folder`` if that is a model that sees, else the shipped one or one of its shape; with all
    cores."""
    with TemporaryDirectory() as made, Worker("ours", str(eye.folder(folder, Path(made))), "0") as ours:
        for _ in range(2):
            ours.chats(prompts.short(AT_ONCE), 4, pictures=[draw() for _ in range(AT_ONCE)])
        return [_again(ours, rounds), *_together(ours, rounds), *_beside(ours, rounds)]


def _again(ours: Worker, rounds: int) -> Row:
    """Time to the first token of a question about a picture that wasn't seen before, and of another about the same."""
    found: list[tuple[float, float]] = []
    for _ in range(4 * rounds):
        picture = draw()
        first, second = (
            ours.chats([text], 1, pictures=[picture])["first"][0] for text in ("What is this?", "Which colour has it?")
        )
        found.append((first, second))
    figures = {
        "first ms": 1e3 * median(first for first, _ in found),
        "second ms": 1e3 * median(second for _, second in found),
        "second / first": median(second / first for first, second in found),
    }
    return Row("picture", "asked about again", figures)


def _together(ours: Worker, rounds: int) -> list[Row]:
    """Chats about a picture each, one after another and at once."""
    rows: list[Row] = []
    for most in TOKENS:
        found: list[tuple[float, float, float, float]] = []
        for _ in range(rounds):
            asked = [("Describe it.", draw()) for _ in range(AT_ONCE)]
            alone = [ours.chats([text], most, pictures=[picture]) for text, picture in asked]
            many = ours.chats(["Describe it."] * AT_ONCE, most, pictures=[draw() for _ in range(AT_ONCE)])
            cpu, wall = (sum(one[kind] for one in alone) for kind in ("cpu", "wall"))
            found.append((cpu, many["cpu"], wall, many["wall"]))
        tokens = AT_ONCE * most
        figures = {
            "alone tok/CPU-s": median(tokens / one for one, *_ in found),
            "at once tok/CPU-s": median(tokens / many for _, many, *_ in found),
            "at once / alone": median(one / many for one, many, *_ in found),
            "by the clock": median(one / many for *_, one, many in found),
        }
        rows.append(Row("pictures", f"{AT_ONCE} chats of {most} tokens", figures))
    return rows


def _beside(ours: Worker, rounds: int) -> list[Row]:
    """The gaps between the tokens of running answers, in quiet and while pictures are looked at; of all rounds."""
    quiet: dict[tuple[int, int], list[float]] = {case: [] for case in BESIDE}
    busy: dict[tuple[int, int], list[float]] = {case: [] for case in BESIDE}
    for _ in range(rounds):
        for case in BESIDE:
            answers, pictures = case
            asked = [("What is this?", draw()) for _ in range(pictures)]
            answer = ours.ask(do="beside", texts=prompts.short(answers), asked=asked, most=MOST, quiet=QUIET)
            for found, more in zip((quiet, busy), gaps(answer), strict=True):
                found[case] += more
    return [_row(case, quiet[case], busy[case]) for case in BESIDE]


def _row(case: tuple[int, int], quiet: list[float], busy: list[float]) -> Row:
    answers, pictures = case
    usual, calm, late = float(np.median(quiet)), float(np.percentile(quiet, 99)), float(np.percentile(busy, 99))
    figures = {
        "quiet median ms": usual,
        "quiet p99 ms": calm,
        "busy median ms": float(np.median(busy)),
        "busy p99 ms": late,
        "p99 / quiet median": late / usual,
        "p99 / quiet p99": late / calm,
    }
    return Row("beside", f"{answers} streams, pictures: {pictures}", figures)
