"""Lines in columns."""

from collections.abc import Iterable, Sequence


def columns(rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """``rows``, the first of them the headings, as lines; the columns of ``right`` are figures and end in one line."""
    table, ends = [*rows], frozenset(right)
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in ends else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
