"""From a configuration to a Backend: the only file that knows every concrete part.

serve    the gateway's process: the HTTP server over one child process for each model
engine   a child process: the same server over one Engine, on a Unix socket
local    an Engine in this process (tertulia chat, tests)
remote   any OpenAI-compatible address
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tertulia import config as configuration
from tertulia.catalog import catalog, memory
from tertulia.catalog.store import Installed, Store
from tertulia.config import Config
from tertulia.errors import ConfigError, StoreError
from tertulia.net import Net
from tertulia.providers.child import Child
from tertulia.providers.local import Local
from tertulia.providers.remote import Remote

if TYPE_CHECKING:
    from tertulia.engine.engine import Engine


async def serve(config: Config, started: Callable[[str], None]) -> None:
    """Serve the models of ``config.engine.model`` until a signal; ``started`` is called with the address."""
    from tertulia.server import app

    store = _store(config)
    async with Net() as net:

        def child(model: Installed) -> Child:
            return Child(
                net,
                [sys.executable, "-m", "tertulia.cli", "engine", "--model", model.id],
                name=model.id,
                env=configuration.child_environment(config),
                first_timeout=config.server.first_token_timeout,
                idle_timeout=config.server.idle_timeout,
                load_timeout=config.engine.load_timeout,
            )

        def fits(model: Installed) -> None:
            memory.check_memory(model, config.engine.kv, config.engine.weights)

        backend = Local(store, config.engine.model, child, fits)
        try:
            backend.start()
            await app.serve(backend, config, advice=_advice, started=started)
        finally:
            await backend.stop()


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
    memory.check_memory(installed, config.engine.kv, config.engine.weights)
    return await Engine.load(installed.folder, name=installed.id, digest=installed.sha256, settings=config.engine)


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


def _advice(model: str) -> str:
    """How a model that can't be asked here could be had."""
    row = catalog.find(model)
    return f"`tertulia pull {row.id}` fetches it" if row else ""
