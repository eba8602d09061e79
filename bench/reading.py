"""Reading a prompt: how fast 1,000 tokens are read, and what is saved when they were read before."""

from pathlib import Path
from statistics import median

from bench import prompts
from bench.service import Service
from bench.table import Row
from bench.worker import Worker

WORDS = 960
"""With the template and a question some thousand tokens."""
FIRST, OTHER = "What is this about?", "Who counts stars?"


def prefill(folder: Path, rounds: int) -> list[Row]:
    """Tokens per second and per CPU-second of a prompt of 1,000 tokens, one thread."""
    with Worker("ours", str(folder), "1") as ours:
        answers = [ours.chats([prompts.long(WORDS)], 1) for _ in range(rounds + 1)][1:]
    figures = {
        "prompt tokens": median(answer["prompts"][0] for answer in answers),
        "tok/s": median(answer["prompts"][0] / answer["first"][0] for answer in answers),
        "tok/CPU-s": median(answer["prompts"][0] / answer["cpu"] for answer in answers),
    }
    return [Row("prefill", "in-process", figures)]


def prefix(folder: Path, rounds: int) -> list[Row]:
    """Time to the first token behind 1,000 tokens: never read before, asked again word for word, and with another
    question at their end. Their number varies, as the cache works in blocks of 32."""
    found: dict[str, list[tuple[float, ...]]] = {"in-process": [], "http": []}
    with Worker("ours", str(folder), "1") as ours, Service(folder) as service:
        for turn in range(-1, rounds):
            for name, ask in (("in-process", ours.chats), ("http", service.chats)):
                text = prompts.long(WORDS + 7 * turn)
                ends = (FIRST, FIRST, OTHER)
                times = tuple(ask([f"{text}. {end}"], 1)["first"][0] for end in ends)
                if turn >= 0:
                    found[name].append(times)
    return [_row(name, times) for name, times in found.items()]


def _row(name: str, found: list[tuple[float, ...]]) -> Row:
    cold, same, other = zip(*found, strict=True)
    figures = {
        "cold ms": 1e3 * median(cold),
        "same again ms": 1e3 * median(same),
        "other question ms": 1e3 * median(other),
        "same / cold": median(a / b for a, b in zip(same, cold, strict=True)),
        "other / cold": median(a / b for a, b in zip(other, cold, strict=True)),
    }
    return Row("prefix", name, figures)
