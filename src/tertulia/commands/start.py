"""What commands begin with: the configuration, the store, the event loop, the log. What is needed is imported then."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from tertulia.errors import StoreError

if TYPE_CHECKING:
    from tertulia.catalog.progress import Progress
    from tertulia.catalog.store import Store
    from tertulia.config import Config

Run = Callable[[argparse.Namespace], None]


class Add(Protocol):
    """Adds a command to the line: its name, what runs it, a line for the list (none: it isn't listed), its own help
    text, and an example."""

    def __call__(self, name: str, run: Run, help: str, about: str, example: str) -> argparse.ArgumentParser: ...


def settings(args: argparse.Namespace) -> "Config":
    from tertulia import config

    return config.load(args.config, {name: value for name, value in vars(args).items() if "." in name})


def store(config: "Config") -> "Store":
    from tertulia.catalog.store import Store

    return Store(config.store.path, config.store.hub, config.store.hub_token)


def progress() -> "Progress":
    from tertulia.catalog.progress import Progress

    return Progress(lambda line: print(line, file=sys.stderr), bars=True)


def settle_models(config: "Config") -> None:
    """Set ``config.engine.model`` to ids that are installed. Where none is named it is the default model, which is
    fetched if nothing else is here, and those that come with Tertulia are put beside it, to be loaded when they are
    asked; any other that is missing is an error that says how to fetch it. ``none`` means that no model of this machine
    is to be loaded: providers answer."""
    from tertulia.catalog import catalog

    if config.engine.model == ["none"]:
        config.engine.model = []
        return

    here, default = store(config), catalog.default()
    names = config.engine.model
    if not names:
        ours = bring(here)
        installed = [model.id for model in here.list() if model.id not in ours]
        names = [default.id] if default.id in installed or not installed else installed[:1]
    config.engine.model = [_settle_model(here, name) for name in names]


def bring(here: "Store") -> list[str]:
    """See to it that the models that come with Tertulia are in the store; their ids."""
    from tertulia.catalog import catalog

    ids = [row.id for row in catalog.shipped()]
    for name in ids:
        try:
            here.pull(name)
        except StoreError as error:  # the others are served all the same
            print(f"{name} is not offered: {error.message}", file=sys.stderr)
    return ids


def _settle_model(here: "Store", name: str) -> str:
    from tertulia.catalog import catalog

    default = catalog.default()
    if model := here.find(name):
        return model.id
    if catalog.find(name) is default:
        print(f"Fetching {default.id}, the model to begin with.", file=sys.stderr)
        return here.pull(default.id, progress=progress()).id
    installed = [model.id for model in here.list()]
    near = catalog.nearest(name, installed)
    if catalog.find(name) or "/" in name or near is None:
        raise StoreError(f"{name} is not installed; `tertulia pull {name}` fetches it")
    raise StoreError(f"no model is called {name!r}; did you mean {near}?")


def log(form: str) -> None:
    import logging

    from tertulia.server.lines import Form

    # What no line of ours shows need not be found out for each: the place in the code, the thread, the process.
    logging._srcfile = None  # pyright: ignore[reportPrivateUsage]
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Form(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def run(work: Coroutine[Any, Any, None]) -> None:
    import asyncio

    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    # A second signal, or one to us and to our parent, ends the work at once: nothing to tell.
    with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)
