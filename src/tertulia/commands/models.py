"""``tertulia pull``, ``rm`` and ``models``: what is here, and what could be."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add

if TYPE_CHECKING:
    from tertulia.catalog.catalog import Listing
    from tertulia.catalog.live import Live
    from tertulia.catalog.refresh import Host
    from tertulia.config import Config

_PULL = """Fetch a model, check it, and keep it here. A pull that was cut off goes on where it was.

ID is one of
  a name that `tertulia models` shows       smollm2
  a repository of the Hugging Face Hub      OWNER/NAME
  one GGUF file of a repository             OWNER/NAME:Q8_0 or OWNER/NAME/FILE.gguf
  a GGUF file or a folder of yours          ./models/mine.gguf

For repositories that ask you to accept a licence, set HF_TOKEN to your token."""
_MODELS = """List the models that are here (name, size, kind of weights, context), those that
providers serve (context, and each provider with its price in US dollars per million tokens
read and written), and those that can be fetched by name.

With --refresh every provider that there is a key for is asked for its models and prices, and
the Hub for who serves what. What they say is kept for use without a network."""


def add(add: Add) -> None:
    pull = add("pull", _pull, "fetch a model", _PULL, "tertulia pull Qwen/Qwen2.5-Coder-0.5B-Instruct")
    pull.add_argument("id", metavar="ID", help="what to fetch: a name, a repository or a path")
    pull.add_argument("--as", dest="rename", metavar="NAME", help="the name that it shall have here")
    remove = add("rm", _rm, "remove a model", "Remove models from this machine, for good.", "tertulia rm smollm2")
    remove.add_argument("ids", metavar="ID", nargs="+", help="a name that `tertulia models` shows")
    listed = add("models", _models, "list the models that are here, and more", _MODELS, "tertulia models --refresh")
    listed.add_argument("--refresh", action="store_true", help="ask the providers and the Hub anew first")


def _pull(args: argparse.Namespace) -> None:
    from tertulia.catalog.progress import size

    store = start.store(start.settings(args))
    model = store.pull(args.id, rename=args.rename, progress=start.progress())
    print(f"{model.id} is here: {size(model.bytes)}, {model.quantization}, {model.folder}")


def _rm(args: argparse.Namespace) -> None:
    store = start.store(start.settings(args))
    for name in args.ids:
        print(f"{store.remove(name)} is removed")


def _models(args: argparse.Namespace) -> None:
    from tertulia.catalog import catalog, live
    from tertulia.catalog.progress import size

    config = start.settings(args)
    file = live.beside(config.store.path)
    if args.refresh:
        start.run(_refresh(config))
    installed = start.store(config).list()
    width = max((len(model.id) for model in installed), default=0)
    for model in installed:
        print(
            f"{model.id:{width}}  {size(model.bytes):>7}  {model.quantization:<7} context {model.context or 'unknown'}"
        )
    if not installed:
        print("No model is here yet.")
    said = live.read(file)
    _served(config, said)
    here, listings = {model.id for model in installed}, said.listings()
    others = [row for row in catalog.rows() if row.id not in here and (row.source or row.id not in listings)]
    if others:
        print(
            "\nTo be had with `tertulia pull ID`, as any repository of the Hugging Face Hub with safetensors or GGUF:"
        )
    for row in others:
        print(f"{row.id}\n    {row.description}")


def _served(config: "Config", said: "Live") -> None:
    """What providers serve: those that there is a key for, or, where there is none, who they would be."""
    keyed = {host.name for host in _hosts(config)}
    live = {
        model: {name: one for name, one in of.items() if one.live and (name in keyed or not keyed)}
        for model, of in said.listings().items()
    }
    if keyed:
        print("\nServed by providers:")
    else:
        print("\nServed by providers, once a key of theirs is set (as in GROQ_API_KEY):")
    contexts = {row.id: row.context for row in said.rows()}
    for model, of in live.items():
        if of:
            context = max(one.context or contexts.get(model, 0) for one in of.values())
            print(f"{model}{f'  context {context}' if context else ''}")
            print(f"    {', '.join(_tell(name, one) for name, one in of.items())}")
    if not any(live.values()):
        print("none that is known: `tertulia models --refresh` asks them")
    if said.asked:
        age = _age(time.time() - max(said.asked.values()))
        print(f"Asked {age} ago: {', '.join(sorted(said.asked))}.")
    else:
        print("As shipped: `tertulia models --refresh` asks who there is a key for.")


def _tell(name: str, listing: "Listing") -> str:
    return f"{name} ${listing.price[0]:g}/${listing.price[1]:g}" if listing.price else name


def _age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


async def _refresh(config: "Config") -> None:
    from tertulia.catalog import live
    from tertulia.catalog.refresh import Host, refresh
    from tertulia.errors import StoreError, Upstream
    from tertulia.net import Net

    file = live.beside(config.store.path)
    shown = {"Authorization": f"Bearer {config.store.hub_token}"} if config.store.hub_token else {}
    hub = Host(live.HUB, config.store.hub, "/api/models", shown)
    hosts = _hosts(config)
    async with Net() as net:
        said, failed = await refresh(net, hosts, hub, live.read(file), int(time.time()))
    for name, why in sorted(failed.items()):
        print(f"{name} did not tell: {why}", file=sys.stderr)
    if set(failed) == {live.HUB, *(host.name for host in hosts if host.path)}:
        raise Upstream("nobody could be asked for models; what was known stays")
    try:
        live.write(file, said)
    except OSError as error:
        raise StoreError(f"{file} can't be written: {error.strerror or error}") from None


def _hosts(config: "Config") -> "list[Host]":
    """Who can be asked: the providers that there is a key for, and the user's own."""
    from tertulia.catalog.refresh import Host
    from tertulia.config import key_of
    from tertulia.providers import table

    hosts: list[Host] = []
    for name, row in table.rows(config.providers).items():
        key = key_of(name, config.providers.get(name), row.keys)
        if row.base_url and (key or row.custom):
            headers = row.headers | ({"Authorization": f"Bearer {key}"} if key else {})
            path = "" if "{model}" in row.list_route else row.list_route
            hosts.append(Host(name, row.base_url, path, headers))
    return hosts
