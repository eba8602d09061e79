"""An answer in a form against free text of the same length: what forced tokens save, and what masks cost."""

from pathlib import Path
from statistics import median

from bench.table import Row
from bench.worker import Worker

COUNTS = (1, 8)
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "publication_year": {"type": "integer", "minimum": 1500, "maximum": 2030},
        "author_name": {"type": "string", "maxLength": 40},
        "still_in_print": {"type": "boolean"},
    },
    "required": ["title", "publication_year", "author_name", "still_in_print"],
    "additionalProperties": False,
}
"""Four fields; fewer than half of the tokens of an answer are forced."""


def run(folder: Path, rounds: int) -> list[Row]:
    """Tokens per CPU-second in a form and free, one thread, at 1 and 8 chats. The prompts are read beforehand."""
    rows: list[Row] = []
    with Worker("ours", str(folder), "1") as ours:
        for count in COUNTS:
            texts = [f"Tell me of one book, please: number {index} on your list." for index in range(count)]
            found = [_turn(ours, texts) for _ in range(rounds + 1)][1:]
            figures = {name: median(one[name] for one in found) for name in found[0]}
            rows.append(Row("form", f"{count} chats", figures))
    return rows


def _turn(ours: Worker, texts: list[str]) -> dict[str, float]:
    formed = ours.chats(texts, 200, SCHEMA)
    free = ours.chats(texts, formed["lengths"])
    speeds = [answer["tokens"] / answer["cpu"] for answer in (formed, free)]
    return {
        "tokens": formed["tokens"] / len(texts),
        "forced share": formed["forced"] / formed["tokens"],
        "form tok/CPU-s": speeds[0],
        "free tok/CPU-s": speeds[1],
        "ratio": speeds[0] / speeds[1],
    }
