"""``tertulia token``: who may ask."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add

if TYPE_CHECKING:
    from tertulia.ledger.tokens import Token

_TOKEN = """Tokens let callers in. Without any, a server on this machine alone is open to it; as soon
as there is one, each request must bring one:

  curl http://127.0.0.1:8080/v1/models -H 'Authorization: Bearer hf_...'

That stays so when the last is revoked: `tertulia serve --open` lets everybody in again.
Running servers know of new and revoked tokens at once, without a restart. Only a hash of
a token is kept: it is shown when it is made, and never again."""
_NEW = """Make a token and write it to standard output, this once.

With the permission inference it may ask models, with admin see /metrics and /status, and
see, make and revoke tokens at /settings/tokens; for both, give the option twice.

Once a token has spent its cap, its chats are refused with status 402. Spending is known
where prices are, and an answer that runs is not cut off, so that a few at once may end a
little over it."""
_FILE = "a configuration file, not the usual one"
_LIST = "List the tokens: what they may, until when, what they have spent, whether they are live."
_REVOKE = "Revoke a token, for good: from now on requests that bring it are refused with status 401."


def add(add: Add) -> None:
    command = add(
        "token", _list, "let callers in, each with a token", _TOKEN, "tertulia token new ana --expires 30d --cap 5"
    )
    actions = command.add_subparsers(metavar="ACTION", required=True)

    def act(name: str, run: start.Run, help: str, about: str, example: str) -> argparse.ArgumentParser:
        action = actions.add_parser(
            name,
            help=help,
            description=about,
            epilog=f"Example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        action.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help=_FILE)
        action.set_defaults(run=run)
        return action

    _add_new(act("new", _new, "make a token", _NEW, "tertulia token new ana --expires 30d --cap 5"))
    act("list", _list, "list the tokens", _LIST, "tertulia token list")
    revoke = act("revoke", _revoke, "revoke a token", _REVOKE, "tertulia token revoke ana")
    revoke.add_argument("which", metavar="NAME_OR_ID", help="a name or an id that `tertulia token list` shows")


def _add_new(command: argparse.ArgumentParser) -> None:
    say = command.add_argument
    say("name", metavar="NAME", help="whose it is: shows in the list, the server's log and the usage log")
    say(
        "--permission",
        action="append",
        choices=("inference", "admin"),
        help="what it is for (inference; may be repeated)",
    )
    say("--expires", metavar="WHEN", help="after 12h, 30d or 8w, or at the end of a day such as 2027-01-31 (never)")
    say("--cap", metavar="DOLLARS", help="the most that it may spend, in US dollars (no limit)")


def _new(args: argparse.Namespace) -> None:
    import asyncio

    from tertulia.ledger import units
    from tertulia.ledger.ledger import Ledger

    path = start.settings(args).ledger.path
    expires = units.ahead(args.expires, time.time()) if args.expires else None
    cap = units.micros(args.cap) if args.cap else None

    async def make() -> str:
        async with Ledger(path) as ledger:
            return await ledger.new(args.name, args.permission or ("inference",), expires, cap)

    print(asyncio.run(make()), flush=True)
    print(f"Keep it: this is the token of {args.name}, and it won't be shown again.", file=sys.stderr)


def _list(args: argparse.Namespace) -> None:
    import asyncio

    from tertulia.commands.columns import columns
    from tertulia.ledger.ledger import Ledger

    path = start.settings(args).ledger.path

    async def read() -> "list[Token]":
        async with Ledger(path) as ledger:
            return await ledger.list()

    tokens = asyncio.run(read())
    if not tokens:
        print("There is no token yet: `tertulia token new NAME` makes one.")
        return
    head = ("id", "name", "permissions", "made", "expires", "spent", "cap", "state")
    print("\n".join(columns([head, *map(_row, tokens)], right=(0, 5, 6))))


def _row(token: "Token") -> tuple[str, ...]:
    from tertulia.ledger.units import date, dollars

    return (
        str(token.id),
        token.name,
        ", ".join(sorted(token.permissions, reverse=True)),
        date(token.made),
        date(token.expires - 1) if token.expires else "never",  # midnight is the end of the day before
        dollars(token.spent),
        dollars(token.cap) if token.cap else "none",
        token.state(time.time()),
    )


def _revoke(args: argparse.Namespace) -> None:
    import asyncio

    from tertulia.ledger.ledger import Ledger

    path = start.settings(args).ledger.path

    async def revoke() -> "Token":
        async with Ledger(path) as ledger:
            return await ledger.revoke(args.which)

    token = asyncio.run(revoke())
    print(f"The token {token.name} ({token.id}) is revoked.")
