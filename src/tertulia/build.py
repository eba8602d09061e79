"""From a configuration to a Backend: the only file that knows every concrete part.

serve    the gateway's process: the HTTP server over a router
router   a Router over one child process for each model of this machine, and every provider
engine   a child process: the same server over one Engine, on a Unix socket
local    an Engine in this process (tertulia chat, tests)
remote   any OpenAI-compatible address
"""

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tertulia import config as configuration
from tertulia.catalog import live, memory
from tertulia.catalog.store import Installed, Store
from tertulia.config import Config
from tertulia.errors import ConfigError, StoreError
from tertulia.ledger.ledger import Ledger
from tertulia.net import Net
from tertulia.providers import table
from tertulia.providers.child import Child
from tertulia.providers.local import Local
from tertulia.providers.program import Program, environment
from tertulia.providers.remote import CHAT, Remote
from tertulia.router.findings import Probes
from tertulia.router.index import Index, Party
from tertulia.router.rounds import Rounds
from tertulia.router.router import Router
from tertulia.types import Spent

if TYPE_CHECKING:
    from tertulia.engine.engine import Engine


async def serve(config: Config, started: Callable[[str], None]) -> None:
    """Serve the models of ``config.engine.model`` and of every provider that has a key, until a signal; ``started`` is
    called with the address."""
    from tertulia.server import app

    routes = {name: row.route for name, row in table.rows(config.providers).items()} | {"local": CHAT}
    async with Ledger(config.ledger.path) as ledger, router(config, ledger.spend) as backend:
        _spare_garbage()
        await app.serve(backend, config, routes=routes, ledger=ledger, started=started)


def _spare_garbage() -> None:
    """What is here now stays: the collector need not look through every model and token again and again, nor so often
    through what a request leaves behind, which is no circle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@contextlib.asynccontextmanager
async def router(config: Config, spend: Callable[[Spent], None] = lambda spent: None) -> AsyncGenerator[Router, None]:
    """A Router over this machine's models, which are being loaded, and every provider; ``spend`` is told of each
    attempt."""
    async with Net() as net:
        local = _home(config, net)
        parties = [_party(row, config, net) for row in table.rows(config.providers).values()]
        programs = [party.backend for party in parties if isinstance(party.backend, Program)]
        try:
            local.start()
            for program in programs:
                program.start()
            probes = Probes(config.router.probes)
            said = live.read(live.beside(config.store.path))
            index = Index(local, parties, said.rows(), said.listings(), probes.fields)
            probes.changed = index.renew
            rounds = Rounds(probes, index, config.router)
            rounds.start()
            try:
                yield Router(index, config.router, spend=spend, used=rounds.used)
            finally:
                await rounds.stop()
        finally:
            await asyncio.gather(local.stop(), *(program.stop() for program in programs))


def _home(config: Config, net: Net) -> Local:
    """The models of this machine."""
    keys = _key_names(config)
    env = {name: said for name, said in configuration.child_environment(config).items() if name not in keys}

    def child(model: Installed) -> Child:
        return Child(
            net,
            [sys.executable, "-m", "tertulia.cli", "engine", "--model", model.id],
            name=model.id,
            env=env,
            first_timeout=config.server.first_token_timeout,
            idle_timeout=config.server.idle_timeout,
            load_timeout=config.engine.load_timeout,
        )

    def fits(model: Installed) -> None:
        memory.check_memory(model, config.engine.kv, config.engine.weights, config.images.seen)

    return Local(_store(config), config.engine.model, child, fits)


def _party(row: table.Row, config: Config, net: Net) -> Party:
    """A provider of the table, with its key if there is one."""
    key = configuration.key_of(row.name, config.providers.get(row.name), row.keys)
    forward = config.router.forward_hf_token and "HF_TOKEN" in row.keys

    def connect(row: table.Row) -> Remote:
        return Remote(
            net,
            row.base_url,
            name=row.name,
            row=row,
            key=key,
            forward_bearer=forward,
            first_timeout=config.router.first_timeout,
            idle_timeout=config.router.idle_timeout,
            whole_timeout=config.router.whole_timeout,
        )

    return Party(
        name=row.name,
        backend=_program(row, connect, config, net) if row.command else connect(row),
        why="" if key or forward or row.custom else f"there is no key for it: set {' or '.join(row.keys)}",
        custom=row.custom,
        models=row.models,
        fields={"tool_prompt": "tgi" in row.quirks} | dict.fromkeys(row.refuses, False),
        price=row.price,
        context=row.context,
    )


def _program(row: table.Row, connect: Callable[[table.Row], Remote], config: Config, net: Net) -> Program:
    """A provider that is a process here. It is told no key of any provider."""
    said = config.providers[row.name]
    return Program(
        net,
        row,
        connect,
        env=environment(configuration.child_environment(), _key_names(config)),
        eager=said.eager,
        first_timeout=config.server.first_token_timeout,
        load_timeout=said.load_timeout,
    )


def _key_names(config: Config) -> set[str]:
    """The variables that may hold a provider's key: no business of the processes that are started here."""
    shipped = {key for row in table.rows(config.providers).values() for key in row.keys}
    return shipped | {said.key_env for said in config.providers.values()}


async def engine(config: Config, socket: Path) -> None:
    """Serve one model at ``socket``, until a signal or until the process that started this one is gone."""
    from tertulia.server import app

    backend = await local(config, config.engine.model[0])
    try:
        await app.serve(backend, config, socket=socket, orphan_stops=True)
    finally:
        await backend.aclose()


async def local(config: Config, model: str) -> "Engine":
    """An Engine over an installed model, in this process. Raises StoreError where there is none or no room for it."""
    from tertulia.engine.engine import Engine

    installed = _store(config).find(model)
    if installed is None:
        raise StoreError(f"{model} is not installed; `tertulia pull {model}` fetches it")
    aside = memory.check_memory(installed, config.engine.kv, config.engine.weights, config.images.seen)
    return await Engine.load(
        installed.folder,
        name=installed.id,
        digest=installed.sha256,
        settings=config.engine,
        images=config.images,
        aside=aside,
    )


class Line(Remote):
    """A Remote with a connection pool of its own."""

    def __init__(self, url: str, token: str) -> None:
        self._own = Net()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(self._own, url.rstrip("/").removesuffix("/v1"), name=url, headers=headers)

    async def aclose(self) -> None:
        await self._own.close()


def remote(url: str, token: str) -> Line:
    """A Backend at an OpenAI-compatible address, with or without its ``/v1``. Raises ConfigError for a token that can't
    stand in a header."""
    if not (token.isascii() and token.isprintable()):
        raise ConfigError("the token holds what can't be sent: letters, digits and signs of ASCII can")
    return Line(url, token)


def _store(config: Config) -> Store:
    return Store(config.store.path, config.store.hub, config.store.hub_token)
