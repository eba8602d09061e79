"""``tertulia probe``: what a model really honours at a provider, found out by asking."""

import argparse
import sys
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add
from tertulia.errors import TertuliaError, Upstream

if TYPE_CHECKING:
    from tertulia.config import Config
    from tertulia.router.index import Index
    from tertulia.router.order import Candidate
    from tertulia.router.probe import Finding

_PROBE = """Find out what works by asking: tools, forms, log-probabilities, seeds, several choices,
stop strings, images, and the usage in streams. A provider is sent about a dozen tiny
requests, which cost what they cost there: a few thousandths of a cent to a few cents.

MODEL is probed at every provider that serves it and can be asked, MODEL:PROVIDER at
that one; without either it is the default model. What is found is kept, shows in
/v1/models, and decides who is asked for what from then on."""
_WORDS = {True: "works", False: "doesn't", None: "unknown"}


def add(add: Add) -> None:
    probe = add("probe", _probe, "find out what works where, by asking", _PROBE, "tertulia probe smollm2:local")
    what = probe.add_mutually_exclusive_group()
    what.add_argument("model", metavar="MODEL[:PROVIDER]", nargs="?", help="the model, at all its providers or at one")
    what.add_argument("--all", action="store_true", help="every model at every provider that can be asked")


def _probe(args: argparse.Namespace) -> None:
    config = start.settings(args)
    name = args.model or next(iter(config.engine.model), "") or _default()
    config.engine.model = []  # a model of this machine is loaded when it is its turn
    start.run(_ask(config, "" if args.all else name))


def _default() -> str:
    from tertulia.catalog import catalog

    return catalog.default().id


async def _ask(config: "Config", name: str) -> None:
    """Probe the candidates for ``name``, or all there are, one after another. Raises UnknownModel; Upstream if none of
    them could be asked."""
    from tertulia import build
    from tertulia.router.checks import PLAIN
    from tertulia.router.findings import Probes
    from tertulia.router.order import LOCAL
    from tertulia.router.probe import Purse
    from tertulia.router.rounds import look

    probes = Probes(config.router.probes)
    async with build.router(config) as router:
        candidates = _asked(router.index, name) if name else _all(router.index)
        asked, paid = 0, list[float | None]()
        for candidate in candidates:
            print(f"{candidate.model} at {candidate.provider}", flush=True)
            price = (0.0, 0.0) if candidate.provider == LOCAL else candidate.price
            found = await look(candidate, probes, config.router, Purse(price=price))
            await probes.keep(candidate.provider, candidate.model, found)
            asked += found[PLAIN].works is not None
            paid += [finding.cost for finding in found.values()]
            _show(found)
        if len(candidates) > 1:
            print(f"In all: {_price(paid)}")
    if not asked:
        raise Upstream("nobody could be asked")


def _asked(index: "Index", name: str) -> "list[Candidate]":
    """Everybody whom ``name`` means. Raises UnknownModel."""
    wish = index.read(name)
    if found := index.find(wish):
        return found
    raise index.unknown(wish)


def _all(index: "Index") -> "list[Candidate]":
    from tertulia.router.order import Wish

    found: list[Candidate] = []
    for card in index.cards({}):
        try:
            found += index.find(Wish(card.id))
        except TertuliaError as error:
            print(f"tertulia: {error.message}", file=sys.stderr)
    return found


def _show(found: "dict[str, Finding]") -> None:
    for field, finding in found.items():
        print(f"  {field:15}  {_WORDS[finding.works]:7}  {finding.why}".rstrip())
    tokens = sum(finding.tokens for finding in found.values())
    print(f"  {tokens} tokens, {_price([finding.cost for finding in found.values()])}\n", flush=True)


def _price(costs: list[float | None]) -> str:
    known = [cost for cost in costs if cost is not None]
    told = f"${sum(known):.6f}".rstrip("0").rstrip(".")
    if len(known) == len(costs):
        return told
    return f"{told} and what is not known" if sum(known) else "at a price that is not known"
