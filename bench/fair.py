"""Running answers beside a long prompt: how much longer than in quiet their tokens have to wait."""

from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from bench import prompts
from bench.table import Row
from bench.worker import Answer, Worker

STREAMS = (1, 4, 8)
WORDS = 3960


def run(folder: Path, rounds: int) -> list[Row]:
    """Gaps between the tokens of 1, 4 and 8 answers, in quiet and while 4,000 tokens are read; as served, with all
    cores."""
    rounds = max(rounds * 3 // 5, 1)
    rows: list[Row] = []
    with Worker("ours", str(folder), "0") as ours:
        for count in STREAMS:
            found = [_turn(ours, count) for _ in range(rounds)]
            figures = {name: median(one[name] for one in found) for name in found[0]}
            rows.append(Row("fair", f"{count} streams", figures))
    return rows


def gaps(answer: Answer) -> tuple[list[float], list[float]]:
    """The gaps between tokens, in ms, in quiet and while something else was read: of what a worker tells of running
    answers."""
    quiet: list[float] = []
    busy: list[float] = []
    together = max(times[0] for times in answer["times"])
    for times in answer["times"]:
        for before, after in pairwise(times):
            if before < answer["ended"] and after > answer["begun"]:
                busy.append(1e3 * (after - before))
            elif before >= together:
                quiet.append(1e3 * (after - before))
    return quiet, busy


def _turn(ours: Worker, count: int) -> dict[str, float]:
    answer = ours.ask(do="beside", texts=prompts.short(count), asked=[(prompts.long(WORDS), "")], most=4000)
    quiet, busy = gaps(answer)
    usual, late = float(np.median(quiet)), float(np.percentile(busy, 99))
    return {
        "prompt tokens": answer["read"],
        "read in s": answer["ended"] - answer["begun"],
        "quiet median ms": usual,
        "quiet p99 ms": float(np.percentile(quiet, 99)),
        "busy p99 ms": late,
        "busy max ms": max(busy),
        "p99 / quiet median": late / usual,
        "p99 / quiet p99": late / float(np.percentile(quiet, 99)),
    }
