"""``tertulia usage``: what was spent, by whom, on what."""

import argparse
import time
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add

if TYPE_CHECKING:
    from tertulia.ledger.usage import Sum

_USAGE = """Sum the usage log: requests, tokens read and written, what they cost, what became of
them. Each request has an entry there, also the cancelled and the failed, and one for each
provider that had a part in it: failed_over is an attempt that another provider took over
before the answer began, continued one that another went on from. By model and by provider
each attempt counts as a request.

Costs are in US dollars, by the prices that are known. Tokens behind a ~ are in part our own
count, where a provider told none. Names stand with their token's id; those without one
are callers without a token of `tertulia token`."""
_DEFAULT = "30d"


def add(add: Add) -> None:
    say = add(
        "usage", _usage, "sum up what was asked and what it cost", _USAGE, "tertulia usage --since 7d --by model"
    ).add_argument
    say(
        "--since",
        metavar="WHEN",
        default=_DEFAULT,
        help=f"from 12h, 7d or 8w ago on, or from a day such as 2027-01-31 ({_DEFAULT})",
    )
    say("--by", choices=("token", "model", "provider", "day"), default="token", help="what to sum up by (token)")


def _usage(args: argparse.Namespace) -> None:
    import asyncio

    from tertulia.commands.columns import columns
    from tertulia.ledger import units
    from tertulia.ledger.ledger import Ledger

    path = start.settings(args).ledger.path
    since = units.back(args.since, time.time())

    async def read() -> "list[Sum]":
        async with Ledger(path) as ledger:
            return await ledger.sums(since, args.by)

    sums = asyncio.run(read())
    if not sums:
        print(f"Nothing was asked since {units.date(since)}.")
        return
    rows = [*map(_row, sums)]
    if len(sums) > 1:
        rows.append(_row(_total(sums)))
    head = (args.by, "requests", "tokens in", "tokens out", "cost", "outcomes")
    print("\n".join(columns([head, *rows], right=(1, 2, 3, 4))))


def _row(one: "Sum") -> tuple[str, ...]:
    from tertulia.ledger.units import dollars

    mark = "~" if one.estimated else ""
    return (
        one.key,
        f"{one.requests:,}",
        f"{mark}{one.prompt_tokens:,}",
        f"{mark}{one.completion_tokens:,}",
        dollars(one.cost),
        ", ".join(f"{outcome} {count:,}" for outcome, count in one.outcomes.items()),
    )


def _total(sums: "list[Sum]") -> "Sum":
    from tertulia.ledger.usage import Sum

    total = Sum("all")
    for one in sums:
        total.requests += one.requests
        total.prompt_tokens += one.prompt_tokens
        total.completion_tokens += one.completion_tokens
        total.cost += one.cost
        total.estimated |= one.estimated
        for outcome, count in one.outcomes.items():
            total.outcomes[outcome] = total.outcomes.get(outcome, 0) + count
    return total
