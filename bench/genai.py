"""Tertulia's engine in-process against OpenVINO GenAI's C++ batcher: the same weights, prompts and threads (one)."""

from pathlib import Path
from statistics import median

from bench import genai_files, prompts
from bench.table import Row
from bench.worker import ROOT, Worker

CHATS = (1, 4, 8, 16, 32)
TOKENS = 48


def run(folder: Path, rounds: int) -> list[Row]:
    """Tokens per CPU-second of each at 1 to 32 chats, in interleaved rounds."""
    files = ROOT / "bench" / "out" / "genai" / folder.name
    genai_files.write(folder, files)
    words = prompts.Words(folder)
    rates: dict[tuple[str, int], list[float]] = {}
    agreed: dict[int, list[float]] = {}
    with (
        Worker("ours", str(folder), "1") as ours,
        Worker("theirs", str(files), "1", "same") as same,
        Worker("theirs", str(files), "1", "own") as own,
    ):
        for turn in range(-1, rounds):
            for count in CHATS:
                texts = prompts.short(count)
                ids = [words.ids(text) for text in texts]
                sides = {
                    "ours": lambda texts=texts: ours.chats(texts, TOKENS),
                    "same": lambda ids=ids: same.ask(prompts=ids, most=TOKENS),
                    "own": lambda ids=ids: own.ask(prompts=ids, most=TOKENS),
                }
                order = list(sides)[turn % 3 :] + list(sides)[: turn % 3]
                answers = {name: sides[name]() for name in order}
                if turn < 0:  # the first round warms up
                    continue
                for name, answer in answers.items():
                    rates.setdefault((name, count), []).append(answer["tokens"] / answer["cpu"])
                said = [words.text(answer) for answer in answers["same"]["ids"]]
                agreed.setdefault(count, []).append(_agreement(answers["ours"]["texts"], said))
    return [_row(count, rates, agreed[count]) for count in CHATS]


def _row(count: int, rates: dict[tuple[str, int], list[float]], agreed: list[float]) -> Row:
    ours, same, own = (rates[name, count] for name in ("ours", "same", "own"))
    return Row(
        "genai",
        f"{count} chats",
        {
            "tertulia tok/CPU-s": median(ours),
            "genai, our options": median(same),
            "genai, its defaults": median(own),
            "ratio": median(a / b for a, b in zip(ours, same, strict=True)),
            "ratio to defaults": median(a / b for a, b in zip(ours, own, strict=True)),
            "same text": median(agreed),
        },
    )


def _agreement(ours: list[str], theirs: list[str]) -> float:
    """The share of the text, from its beginning on, that both give."""
    total = sum(map(len, ours))
    return sum(_common(a, b) for a, b in zip(ours, theirs, strict=True)) / total


def _common(a: str, b: str) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
