"""Rows of figures, as a table and as JSON."""

import json
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """What one case of one benchmark came to; the rows of a benchmark name the same figures."""

    bench: str
    case: str
    figures: dict[str, float]


def text(rows: list[Row]) -> str:
    """A Markdown table for each run of rows of one benchmark."""
    tables: list[str] = []
    for name, group in groupby(rows, lambda row: (row.bench, *row.figures)):
        cases = list(group)
        lines = [[name[0], *name[1:]]]
        lines += [[row.case, *(_number(value) for value in row.figures.values())] for row in cases]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        drawn = ["| " + " | ".join(_pad(line, widths)) + " |" for line in lines]
        drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        tables.append("\n".join(drawn))
    return "\n\n".join(tables)


def _pad(line: list[str], widths: list[int]) -> list[str]:
    return [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.1f}"


def write(rows: list[Row], path: Path, about: dict[str, str]) -> None:
    """Write ``rows`` as JSON, with what there is to know of the machine and the run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
