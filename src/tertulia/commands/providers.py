"""``tertulia providers``: who can be asked, and a configuration of LiteLLM in our words."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tertulia.commands import start
from tertulia.commands.start import Add
from tertulia.errors import ConfigError, TertuliaError, Upstream

if TYPE_CHECKING:
    from tertulia.config import Config
    from tertulia.net import Net
    from tertulia.providers.table import Row

_PROVIDERS = """List the providers: where each one's key comes from (never the key), how many models it is
known to serve, its address, and the fields of a request that it can't honour. A provider
is asked as soon as there is a key for it, in a variable:

  export GROQ_API_KEY=...

or in a file that only you can read, which the configuration file names:

  [providers.groq]
  key_file = "~/.config/tertulia/groq.key"

Anything else that speaks OpenAI's dialect is a table of its own there, with or without a
key; with a command it is started when it is first asked for:

  [providers.workstation]
  base_url = "http://192.168.1.20:8000/v1"
  models = ["Qwen/Qwen3-32B"]

  [providers.gemma]
  command = "llama-server -m gemma-2-2b-it-Q4_0.gguf --port {port}"

With --check each is asked for its list of models, all at once, for ten seconds at most:
that costs nothing. What a model can do there is found out by `tertulia probe`."""
_IMPORT = """Say a config.yaml of LiteLLM in the words of Tertulia's configuration file. It is written to
standard output, and to standard error what could not be carried over, by its name. Keys
that are written out in it are not copied; variables that it names are named here, too.

Save it as ~/.config/tertulia/config.toml, or give it to any command with --config."""
_PATIENCE = 10.0
"""Seconds that a provider has to answer in."""


def add(add: Add) -> None:
    command = add(
        "providers", _providers, "list the providers, and which have a key", _PROVIDERS, "tertulia providers --check"
    )
    command.add_argument("--check", action="store_true", help="ask each whether it answers")
    actions = command.add_subparsers(metavar="ACTION")
    action = actions.add_parser(
        "import",
        help="translate a configuration of LiteLLM",
        description=_IMPORT,
        epilog="Example:\n  tertulia providers import config.yaml > ~/.config/tertulia/config.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    action.add_argument("file", metavar="FILE", help="the config.yaml, or - for standard input")
    action.set_defaults(run=_import)


class _Line(NamedTuple):
    """A provider that can be asked: its row, where its key comes from, the key, what is wrong with that."""

    row: "Row"
    source: str
    key: str
    wrong: str = ""


def _providers(args: argparse.Namespace) -> None:
    import asyncio

    from tertulia.commands.columns import columns
    from tertulia.providers import table

    config = start.settings(args)
    rows = table.rows(config.providers)
    lines = [line for row in rows.values() if (line := _line(row, config))]
    told = asyncio.run(_check(lines)) if args.check else []
    head = ("provider", "key", "models", *(["answers"] if args.check else []), "address")
    counts = _counts(config, rows)
    cells = [
        (line.row.name, line.source, str(counts[line.row.name]), *told[place : place + 1], _address(line.row))
        for place, line in enumerate(lines)
    ]
    if not lines:
        print("There is no key for any provider yet.")
    for place, text in enumerate(columns([head, *cells], right=(2,)) if lines else []):
        print(text)
        if place:
            _print_more(lines[place - 1])
    asked = {line.row.name for line in lines}
    _print_others([row for name, row in rows.items() if name not in asked])


def _line(row: "Row", config: "Config") -> _Line | None:
    """A row that can be asked, None if there is no key for it."""
    from tertulia.config import key_of, variable

    said = config.providers.get(row.name)
    names = ((said.key_env,) if said and said.key_env else ()) + row.keys
    source = next((name for name in names if variable(name)), "")
    if said and (said.key or said.key_file):
        source = "in the configuration" if said.key else f"file {said.key_file}"
    try:
        key = key_of(row.name, said, row.keys)
    except ConfigError as error:
        return _Line(row, source, "", error.message)
    if not key and config.router.forward_hf_token and "HF_TOKEN" in row.keys:
        source = "the caller's own"
    if not source and row.custom:
        source = "none"
    return _Line(row, source, key) if source else None


def _counts(config: "Config", rows: "dict[str, Row]") -> dict[str, int]:
    """How many models each provider is known to serve: of the catalog, as it said itself, as the user says."""
    from tertulia.catalog import live

    listings = live.read(live.beside(config.store.path)).listings()
    return {
        name: len({model for model, of in listings.items() if name in of and of[name].live} | set(row.models))
        for name, row in rows.items()
    }


def _address(row: "Row") -> str:
    import shlex

    if row.command:
        return shlex.join(row.command).replace("'{port}'", "{port}")
    return row.base_url + row.route.removesuffix("/chat/completions")


def _print_more(line: _Line) -> None:
    if line.wrong:
        print(f"    can't be asked: {line.wrong}")
    if line.row.refuses:
        print(f"    can't do {', '.join(line.row.refuses)}")


def _print_others(rows: "list[Row]") -> None:
    import textwrap

    if rows:
        names = ", ".join(f"{row.name} ({row.keys[0] if row.keys else 'key_env'})" for row in rows)
        text = f"Without a key: {names}. Setting the variable is enough."
        print("\n" + "\n".join(textwrap.wrap(text, 96, break_long_words=False, break_on_hyphens=False)))


# ---------------------------------------------------------------- asking them


async def _check(lines: list[_Line]) -> list[str]:
    """What each says, in the order of ``lines``."""
    import asyncio

    from tertulia.net import Net

    async with Net(connect_timeout=2 * _PATIENCE) as net:
        return await asyncio.gather(*(_ask(net, line) for line in lines))


async def _ask(net: "Net", line: _Line) -> str:
    import asyncio
    import shutil

    row = line.row
    if line.wrong:
        return "not asked"
    if row.command:
        found = shutil.which(row.command[0])
        return "when it is started" if found else f"no: there is no program {row.command[0]} here"
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _list(net, row, line.key)
    except TimeoutError:
        return f"not within {_PATIENCE:g} s"
    except Upstream as error:
        return f"no: {error.message.removeprefix(row.base_url).strip()}"
    except TertuliaError as error:
        return f"no: {error.message}"


async def _list(net: "Net", row: "Row", key: str) -> str:
    import time

    from tertulia.catalog import told

    path = row.list_route if "{model}" not in row.list_route else "/"
    headers = row.headers | ({"Authorization": f"Bearer {key}"} if key else {})
    began = time.monotonic()
    reply = await net.send("GET", row.base_url, path, headers=headers, silence=2 * _PATIENCE)
    try:
        body = await reply.read()
    finally:
        reply.close()
    if reply.status in (401, 403):
        return f"it refuses the key ({reply.status})" if key else f"it wants a key ({reply.status})"
    if reply.status >= 500:
        return f"no: it answers {reply.status}"
    took = f"in {(time.monotonic() - began) * 1000:.0f} ms"
    try:
        count = len(told.read_models(row.name, body)) if reply.status == 200 else 0
    except Upstream:
        count = 0
    return f"{took}, {count} model{'s' if count > 1 else ''}" if count else f"{took}, with no list of models"


# ---------------------------------------------------------------- importing


def _import(args: argparse.Namespace) -> None:
    from tertulia.config import variable
    from tertulia.providers import litellm

    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{args.file} can't be read: {why}") from None
    try:
        imported = litellm.read(text, variable)
    except ConfigError as error:
        raise ConfigError(f"{args.file}: {error.message}") from None
    print(imported.toml, end="")
    if imported.left:
        print("Not carried over:", *(f"  {line}" for line in imported.left), sep="\n", file=sys.stderr)
