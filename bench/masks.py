"""What grammars cost between two passes, at eight chats that each have one."""

from pathlib import Path

from bench.table import Row
from bench.worker import Worker

KINDS = {
    "form": "a form of four fields",
    "form0": "the same, greedy",
    "text": "auto of 50 tools, in free text",
    "text0": "the same, greedy",
    "call": "auto of 50 tools, inside a call",
    "call0": "the same, greedy",
}


def run(folder: Path, rounds: int) -> list[Row]:
    """Microseconds a token and row that masks add to the way from one pass's logits to the next pass."""
    rows: list[Row] = []
    with Worker("tooled", str(folder), "2") as worker:
        for kind, name in KINDS.items():
            found = [worker.ask(do="cost", kind=kind) for _ in range(min(rounds, 3) + 1)][1:]
            weight = sum(one["passes"] for one in found)
            means = {key: sum(one[key] * one["passes"] for one in found) / weight for key in found[0]}
            figures = {
                "passes": weight,
                "ms a pass": means["pass"],
                "us added": means["added"],
                "median": means["median"],
                "of it sampling": means["sampling"],
                "walking": means["walking"],
                "forcing": means["forcing"],
                "unhidden": means["unhidden"],
                "filling, hidden": means["filling"],
            }
            rows.append(Row("masks", name, figures))
    return rows
