"""Lines in columns."""

from collections.abc import Iterable, Sequence

MOST = 100


def columns(rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """``rows``, the first of them the headings, as lines; the columns of ``right`` are figures and end in one line."""
    table, ends = [[_cut(cell) for cell in row] for row in rows], frozenset(right)
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in ends else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _cut(cell: str) -> str:
    """``cell`` as a terminal may show it, and no longer than a name should be."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in cell)
    return shown if len(shown) <= MOST else f"{shown[: MOST - 3]}..."
