"""A gateway in the tests' process, whole but for a model of its own: real router, ledger and door, and one provider
whose answers are scripted."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tertulia import build
from tertulia.config import Config, Provider
from tertulia.ledger.ledger import Ledger
from tertulia.server.app import running
from upstream import Script, Upstream, stream

SEEING = "up/seeing"
MODEL = "up/model"


@dataclass
class Site:
    """A gateway in this process. ``upstream`` is its provider ``scripted``, which serves ``up/model`` and, with eyes,
    ``up/seeing``: set ``upstream.scripts``, read ``upstream.requests``."""

    url: str
    upstream: Upstream
    ledger: Ledger
    config: Config


Start = Callable[..., contextlib.AbstractAsyncContextManager[Site]]


@contextlib.asynccontextmanager
async def opened(home: Path, *scripts: Script, **server: Any) -> AsyncGenerator[Site, None]:
    """A Site whose ``[server]`` has these settings."""
    config = Config()
    config.server.port, config.server.grace = 0, 0.2
    config.ledger.path = home / "ledger.db"
    config.store.path, config.router.probes = home / "models", home / "probes.json"
    for name, value in server.items():
        setattr(config.server, name, value)
    async with Upstream(*(scripts or (stream("Hello", " from", " afar."),))) as upstream:
        config.providers = {
            "scripted": Provider(base_url=f"{upstream.address}/v1", models={MODEL: "m", SEEING: "s"}, price=[1.0, 2.0])
        }
        async with (
            Ledger(config.ledger.path) as ledger,
            build.router(config, ledger.spend) as router,
            running(router, config, ledger=ledger) as address,
        ):
            yield Site(address, upstream, ledger, config)
